// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"context"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"
)

// Capabilities implements gNMI specification 3.2. The version is that of the protocol's declaration which
// this binary was built with.
func (s *Server) Capabilities(_ context.Context, request *pb.CapabilityRequest) (*pb.CapabilityResponse, error) {
	if err := refuseExtensions(request.GetExtension()); err != nil {
		return nil, err
	}
	version, _ := proto.GetExtension(pb.File_github_com_openconfig_gnmi_proto_gnmi_gnmi_proto.Options(), pb.E_GnmiService).(string)
	response := &pb.CapabilityResponse{
		GNMIVersion:        version,
		SupportedEncodings: []pb.Encoding{pb.Encoding_JSON, pb.Encoding_JSON_IETF, pb.Encoding_PROTO},
	}
	for _, m := range s.feed.Model().Modules() {
		response.SupportedModels = append(response.SupportedModels, &pb.ModelData{
			Name: m.Name, Organization: m.Organization, Version: m.Version,
		})
	}
	return response, nil
}
