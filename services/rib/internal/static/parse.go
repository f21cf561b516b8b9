// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package static

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// fault is what is wrong with an object, at a place below it such as "/config/prefix".
type fault struct {
	at     string
	reason string
}

func (f *fault) Error() string { return f.at + ": " + f.reason }

func faultf(at, format string, args ...any) *fault {
	return &fault{at, fmt.Sprintf(format, args...)}
}

// Parse reads a static route from RFC 7951 JSON. Members may carry their module's name or not. What is not
// known is refused, never swallowed. It judges form; check judges sense.
func Parse(doc json.RawMessage) (Route, error) {
	var r Route
	root, err := members("", doc, "prefix", "config", "next-hops")
	if err != nil {
		return r, err
	}
	config, err := members("/config", root["config"], "prefix")
	if err != nil {
		return r, err
	}
	prefix := config["prefix"]
	if prefix == nil {
		prefix = root["prefix"]
	}
	text, err := stringOf("/config/prefix", prefix)
	if err != nil {
		return r, err
	}
	if r.Prefix, err = netip.ParsePrefix(text); err != nil {
		return r, faultf("/config/prefix", "%q is not a prefix", text)
	}
	hops, err := members("/next-hops", root["next-hops"], "next-hop")
	if err != nil {
		return r, err
	}
	var list []json.RawMessage
	if doc := hops["next-hop"]; doc != nil {
		if err := json.Unmarshal(doc, &list); err != nil {
			return r, faultf("/next-hops/next-hop", "not a list")
		}
	}
	for _, doc := range list {
		h, err := parseHop(doc)
		if err != nil {
			return r, err
		}
		r.Hops = append(r.Hops, h)
	}
	return r, nil
}

func parseHop(doc json.RawMessage) (Hop, error) {
	h := Hop{Distance: DefaultDistance}
	list := "/next-hops/next-hop"
	root, err := members(list, doc, "index", "config", "interface-ref")
	if err != nil {
		return h, err
	}
	if h.Index, err = stringOf(list+"/index", root["index"]); err != nil {
		return h, err
	}
	at := hopPath(h.Index)
	config, err := members(at+"/config", root["config"], "index", "next-hop", "metric", "preference")
	if err != nil {
		return h, err
	}
	if err := h.parseTarget(at, config["next-hop"]); err != nil {
		return h, err
	}
	if h.Metric, err = numberOf(at+"/config/metric", config["metric"], 0); err != nil {
		return h, err
	}
	distance, err := numberOf(at+"/config/preference", config["preference"], DefaultDistance)
	if err != nil {
		return h, err
	}
	if distance < 1 || distance > maxDistance {
		return h, faultf(at+"/config/preference", "%d is not an administrative distance: use 1 to %d", distance, maxDistance)
	}
	h.Distance = uint8(distance)
	return h, h.parseInterface(at, root["interface-ref"])
}

func (h *Hop) parseTarget(at string, doc json.RawMessage) error {
	if doc == nil {
		return nil
	}
	text, err := stringOf(at+"/config/next-hop", doc)
	if err != nil {
		return err
	}
	if bare(text) == "DROP" {
		h.Drop = true
		return nil
	}
	if h.Address, err = netip.ParseAddr(text); err != nil || h.Address.Zone() != "" {
		return faultf(at+"/config/next-hop", "%q is neither an address nor DROP", text)
	}
	return nil
}

func (h *Hop) parseInterface(at string, doc json.RawMessage) error {
	ref, err := members(at+"/interface-ref", doc, "config")
	if err != nil {
		return err
	}
	config, err := members(at+"/interface-ref/config", ref["config"], "interface", "subinterface")
	if err != nil {
		return err
	}
	if sub, err := numberOf(at+"/interface-ref/config/subinterface", config["subinterface"], 0); err != nil {
		return err
	} else if sub != 0 {
		return faultf(at+"/interface-ref/config/subinterface", "only subinterface 0 can be routed to")
	}
	if config["interface"] != nil {
		h.Interface, err = stringOf(at+"/interface-ref/config/interface", config["interface"])
	}
	return err
}

// hopPath is where a next hop stands below its route.
func hopPath(index string) string {
	return "/next-hops/next-hop[index=" + strings.NewReplacer(`\`, `\\`, `]`, `\]`).Replace(index) + "]"
}

// members reads an object whose members may carry their module's name; nil is an empty one.
func members(at string, doc json.RawMessage, known ...string) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	if doc == nil {
		return out, nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(doc, &raw); err != nil {
		return nil, faultf(at, "not an object")
	}
	for name, value := range raw {
		found := false
		for _, k := range known {
			found = found || bare(name) == k
		}
		if !found {
			return nil, faultf(at+"/"+bare(name), "static routes have no such member here")
		}
		out[bare(name)] = value
	}
	return out, nil
}

// bare is a name without its module.
func bare(name string) string {
	if _, rest, ok := strings.Cut(name, ":"); ok {
		return rest
	}
	return name
}

func stringOf(at string, doc json.RawMessage) (string, error) {
	var text string
	if doc == nil {
		return "", faultf(at, "missing")
	}
	if err := json.Unmarshal(doc, &text); err != nil {
		return "", faultf(at, "not a string")
	}
	return text, nil
}

func numberOf(at string, doc json.RawMessage, absent uint32) (uint32, error) {
	if doc == nil {
		return absent, nil
	}
	n, err := strconv.ParseUint(string(bytes.Trim(doc, `"`)), 10, 32)
	if err != nil {
		return 0, faultf(at, "not a number of 32 bits")
	}
	return uint32(n), nil
}
