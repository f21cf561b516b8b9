// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"context"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// Get implements gNMI specification 3.3: one notification for each path, all of one moment.
func (s *Server) Get(_ context.Context, request *pb.GetRequest) (*pb.GetResponse, error) {
	q, err := s.query(request)
	if err != nil {
		return nil, err
	}
	response := &pb.GetResponse{}
	for _, path := range request.GetPath() {
		n, err := q.read(request.GetPrefix(), path)
		if err != nil {
			return nil, readStatus(err)
		}
		response.Notification = append(response.Notification, n)
	}
	return response, nil
}

// query is a Get under way.
type query struct {
	model    *schema.Model
	view     tree.View
	at       time.Time
	filter   tree.Filter
	encoding schema.Encoding
	// levels below each path to return; 0 for all.
	levels uint32
}

func (s *Server) query(request *pb.GetRequest) (*query, error) {
	levels, err := depthOf(request.GetExtension())
	if err != nil {
		return nil, err
	}
	encoding, err := encodingOf(request.GetEncoding())
	if err != nil {
		return nil, err
	}
	if err := checkModels(s.feed.Model(), request.GetUseModels()); err != nil {
		return nil, err
	}
	filters := map[pb.GetRequest_DataType]tree.Filter{
		pb.GetRequest_ALL:         tree.All,
		pb.GetRequest_CONFIG:      tree.OnlyConfig,
		pb.GetRequest_STATE:       tree.OnlyState,
		pb.GetRequest_OPERATIONAL: tree.Operational,
	}
	filter, ok := filters[request.GetType()]
	if !ok {
		return nil, status.Errorf(codes.InvalidArgument, "type %d is no data type", request.GetType())
	}
	if n := len(request.GetPath()); n == 0 || n > maxPaths {
		return nil, status.Errorf(codes.InvalidArgument, "%d paths; want 1 to %d", n, maxPaths)
	}
	return &query{model: s.feed.Model(), view: s.feed.View(), at: time.Now(), filter: filter, encoding: encoding, levels: levels}, nil
}

// read answers one path. A path with nothing at it is NotFound; the root always exists.
func (q *query) read(prefix, path *pb.Path) (*pb.Notification, error) {
	full, err := join(prefix, path)
	if err != nil {
		return nil, err
	}
	matches, err := q.model.Match(full)
	if err != nil {
		return nil, err
	}
	n := &pb.Notification{Timestamp: q.at.UnixNano(), Prefix: answerPrefix(prefix, path)}
	for _, match := range matches {
		if q.encoding == schema.Proto {
			q.leaves(n, match)
			continue
		}
		q.documents(n, match)
	}
	if len(n.GetUpdate()) == 0 && len(full.GetElem()) > 0 {
		return nil, status.Errorf(codes.NotFound, "%s: nothing is there", gpath.String(full))
	}
	return n, nil
}

// documents adds one JSON value for each instance of the path.
func (q *query) documents(n *pb.Notification, match schema.Path) {
	instances := []schema.Path{match}
	if !match.Complete() {
		instances = q.view.Find(match, q.filter)
	}
	for _, instance := range instances {
		text, ok := q.view.RenderLevels(instance, q.filter, q.encoding, q.levels)
		if !ok {
			if len(instance) > 0 {
				continue
			}
			text = []byte("{}")
		}
		n.Update = append(n.Update, &pb.Update{Path: instance.GNMI(), Val: jsonValue(text, q.encoding)})
	}
}

func jsonValue(text []byte, encoding schema.Encoding) *pb.TypedValue {
	if encoding == schema.JSON {
		return &pb.TypedValue{Value: &pb.TypedValue_JsonVal{JsonVal: text}}
	}
	return &pb.TypedValue{Value: &pb.TypedValue_JsonIetfVal{JsonIetfVal: text}}
}

// leaves adds every leaf at and below the path.
func (q *query) leaves(n *pb.Notification, match schema.Path) {
	q.view.Walk(match, q.filter, func(l *tree.Leaf) bool {
		if q.levels > 0 && len(l.GNMI().GetElem())-len(match) > int(q.levels) {
			return true
		}
		n.Update = append(n.Update, &pb.Update{Path: l.GNMI(), Val: l.Value.TypedValue(schema.Proto)})
		return true
	})
}
