// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package static

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
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
// known is refused, never swallowed. It judges form; Check judges sense.
func Parse(doc json.RawMessage) (Route, error) {
	r, err := parse(doc)
	if err != nil {
		return r, err
	}
	return r, nil
}

func parse(doc json.RawMessage) (r Route, err *fault) {
	root, err := members("", doc, "prefix", "config", "next-hops")
	if err != nil {
		return r, err
	}
	if r.Prefix, err = parsePrefix(root); err != nil {
		return r, err
	}
	hops, err := members("/next-hops", root["next-hops"], "next-hop")
	if err != nil {
		return r, err
	}
	var list []json.RawMessage
	if doc := hops["next-hop"]; doc != nil && json.Unmarshal(doc, &list) != nil {
		return r, faultf("/next-hops/next-hop", "not a list")
	}
	for _, doc := range list {
		h, err := parseHop(doc)
		if err != nil {
			err.at = hopPath(h.Index) + err.at
			return r, err
		}
		r.Hops = append(r.Hops, h)
	}
	return r, nil
}

func parsePrefix(root map[string]json.RawMessage) (p netip.Prefix, err *fault) {
	config, err := members("/config", root["config"], "prefix")
	if err != nil {
		return p, err
	}
	doc := config["prefix"]
	if doc == nil {
		doc = root["prefix"]
	}
	text, err := stringOf("/config/prefix", doc)
	if err != nil {
		return p, err
	}
	p, parseErr := netip.ParsePrefix(text)
	if parseErr != nil {
		return p, faultf("/config/prefix", "%q is not a prefix", text)
	}
	return p, nil
}

// parseHop reads a next hop; its faults are at places below it.
func parseHop(doc json.RawMessage) (Hop, *fault) {
	h := Hop{Distance: DefaultDistance}
	root, err := members("", doc, "index", "config", "interface-ref")
	if err != nil {
		return h, err
	}
	if h.Index, err = stringOf("/index", root["index"]); err != nil {
		return h, err
	}
	config, err := members("/config", root["config"], "index", "next-hop", "metric", "preference")
	if err != nil {
		return h, err
	}
	if err := h.parseTarget(config["next-hop"]); err != nil {
		return h, err
	}
	if h.Metric, err = numberOf("/config/metric", config["metric"], 0); err != nil {
		return h, err
	}
	distance, err := numberOf("/config/preference", config["preference"], DefaultDistance)
	if err != nil {
		return h, err
	}
	if distance < 1 || distance > maxDistance {
		return h, faultf("/config/preference", "%d is not an administrative distance: use 1 to %d", distance, maxDistance)
	}
	h.Distance = uint8(distance)
	return h, h.parseInterface(root["interface-ref"])
}

func (h *Hop) parseTarget(doc json.RawMessage) *fault {
	if doc == nil {
		return nil
	}
	text, err := stringOf("/config/next-hop", doc)
	if err != nil {
		return err
	}
	if bare(text) == "DROP" {
		h.Drop = true
		return nil
	}
	a, parseErr := netip.ParseAddr(text)
	if parseErr != nil || a.Zone() != "" {
		return faultf("/config/next-hop", "%q is neither an address nor DROP", text)
	}
	h.Address = a
	return nil
}

func (h *Hop) parseInterface(doc json.RawMessage) *fault {
	ref, err := members("/interface-ref", doc, "config")
	if err != nil {
		return err
	}
	config, err := members("/interface-ref/config", ref["config"], "interface", "subinterface")
	if err != nil {
		return err
	}
	sub, err := numberOf("/interface-ref/config/subinterface", config["subinterface"], 0)
	if err != nil {
		return err
	}
	if sub != 0 {
		return faultf("/interface-ref/config/subinterface", "only subinterface 0 can be routed to")
	}
	if config["interface"] != nil {
		h.Interface, err = stringOf("/interface-ref/config/interface", config["interface"])
	}
	return err
}

// hopPath is where a next hop stands below its route.
func hopPath(index string) string {
	if strings.ContainsAny(index, `\]`) {
		index = strings.NewReplacer(`\`, `\\`, `]`, `\]`).Replace(index)
	}
	return "/next-hops/next-hop[index=" + index + "]"
}

// members reads an object whose members may carry their module's name; nil is an empty one.
func members(at string, doc json.RawMessage, known ...string) (map[string]json.RawMessage, *fault) {
	if doc == nil {
		return nil, nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(doc, &raw); err != nil {
		return nil, faultf(at, "not an object")
	}
	out := make(map[string]json.RawMessage, len(raw))
	for name, value := range raw {
		if !slices.Contains(known, bare(name)) {
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

func stringOf(at string, doc json.RawMessage) (string, *fault) {
	var text string
	if doc == nil {
		return "", faultf(at, "missing")
	}
	if err := json.Unmarshal(doc, &text); err != nil {
		return "", faultf(at, "not a string")
	}
	return text, nil
}

func numberOf(at string, doc json.RawMessage, absent uint32) (uint32, *fault) {
	if doc == nil {
		return absent, nil
	}
	n, err := strconv.ParseUint(string(bytes.Trim(doc, `"`)), 10, 32)
	if err != nil {
		return 0, faultf(at, "not a number of 32 bits")
	}
	return uint32(n), nil
}
