// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/access"
	"github.com/ashlar-nos/ashlar/services/config/internal/accesstest"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
)

// whoami answers who the gate let in, and panics when asked to.
type whoami struct{ pb.UnimplementedGNMIServer }

func (whoami) Get(ctx context.Context, _ *pb.GetRequest) (*pb.GetResponse, error) {
	id, _ := access.FromContext(ctx)
	return &pb.GetResponse{Notification: []*pb.Notification{{Prefix: &pb.Path{Target: id.User + " by " + id.Means}}}}, nil
}

func (whoami) Set(_ context.Context, r *pb.SetRequest) (*pb.SetResponse, error) {
	return &pb.SetResponse{Timestamp: int64(len(r.GetUpdate()))}, nil
}

func (whoami) Capabilities(context.Context, *pb.CapabilityRequest) (*pb.CapabilityResponse, error) {
	panic("as asked")
}

// house is a server on both kinds of listeners.
type house struct {
	t         *testing.T
	dir       string
	authority *accesstest.Authority
	tcp, unix net.Addr
	log       lines
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), authority: accesstest.NewAuthority(t)}
	log := slog.New(slog.NewTextHandler(&h.log, nil))
	users, err := access.NewUsers(filepath.Join(h.dir, "users.json"), log)
	if err != nil {
		t.Fatal(err)
	}
	gate, err := access.NewGate(users, func(info credentials.AuthInfo) (uint32, bool) {
		local, ok := info.(peer.AuthInfo)
		return local.Identity.UID, ok
	}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	files := access.NewTLSFiles(h.dir, log)
	h.tcp = h.serve(New("gnmi", whoami{}, gate, credentials.NewTLS(files.ServerConfig()), registry, log), "tcp", "127.0.0.1:0")
	h.unix = h.serve(New("local", whoami{}, gate, peer.Credentials(), registry, log), "unix", filepath.Join(h.dir, "sock"))
	return h
}

func (h *house) serve(s *Server, network, address string) net.Addr {
	l, err := net.Listen(network, address)
	if err != nil {
		h.t.Fatal(err)
	}
	options := s.Options()
	server := grpc.NewServer(append(options.Server, grpc.Creds(options.Credentials), grpc.InTapHandle(options.Tap))...)
	s.Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	h.t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	})
	return l.Addr()
}

// furnish writes certificates and users.
func (h *house) furnish() {
	h.authority.Install(h.dir)
	accesstest.WriteUsers(h.t, filepath.Join(h.dir, "users.json"),
		map[string]access.Role{"alice": access.Operator, "bob": access.Viewer, "carol": "janitor"})
}

func (h *house) dial(creds credentials.TransportCredentials, options ...grpc.DialOption) pb.GNMIClient {
	h.t.Helper()
	return pb.NewGNMIClient(h.conn(h.tcp.String(), creds, options...))
}

func (h *house) conn(address string, creds credentials.TransportCredentials, options ...grpc.DialOption) *grpc.ClientConn {
	h.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, append(options, grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, a string) (net.Conn, error) {
			network := "tcp"
			if filepath.IsAbs(a) {
				network = "unix"
			}
			return (&net.Dialer{}).DialContext(ctx, network, a)
		}))...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	return conn
}

func (h *house) tls(certificates ...tls.Certificate) credentials.TransportCredentials {
	config := &tls.Config{RootCAs: h.authority.Pool(), ServerName: "device"}
	for _, c := range certificates {
		// Sent whether or not the server's authority signed it.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	}
	return credentials.NewTLS(config)
}

func as(t *testing.T, name, password string) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	if name == "" && password == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "username", name, "password", password)
}

// TestStrangersSendNoMessage begins a call and sends only its headers: the refusal must not wait for a message,
// which may be large.
func TestStrangersSendNoMessage(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	for desc, ctx := range map[string]context.Context{"nobody": as(t, "", ""), "wrong password": as(t, "alice", "x")} {
		call, err := h.conn(h.tcp.String(), h.tls()).NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, pb.GNMI_Set_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		if err := call.RecvMsg(&pb.SetResponse{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v, want Unauthenticated before a message was sent", desc, err)
		}
	}
}

func TestWhoGetsIn(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	stranger := accesstest.NewAuthority(t)
	hour := time.Now().Add(time.Hour)
	selfSigned := accesstest.SelfSigned(t, "alice", hour)
	for _, tt := range []struct {
		desc           string
		creds          credentials.TransportCredentials
		name, password string
		want           codes.Code
		who            string
	}{
		{desc: "nothing", creds: h.tls(), want: codes.Unauthenticated},
		{desc: "certificate", creds: h.tls(h.authority.Client("alice", hour)), who: "alice by certificate"},
		{desc: "password", creds: h.tls(), name: "alice", password: "alicealice", who: "alice by password"},
		{desc: "wrong password", creds: h.tls(), name: "alice", password: "bobbob", want: codes.Unauthenticated},
		{desc: "empty password", creds: h.tls(), name: "alice", want: codes.Unauthenticated},
		{desc: "unknown user", creds: h.tls(), name: "mallory", password: "x", want: codes.Unauthenticated},
		{desc: "certificate, but the password sent with it is wrong", creds: h.tls(h.authority.Client("alice", hour)),
			name: "alice", password: "x", want: codes.Unauthenticated},
		{desc: "certificate and password of another user", creds: h.tls(h.authority.Client("alice", hour)),
			name: "bob", password: "bobbob", who: "bob by password"},
		{desc: "certificate of a user who is gone", creds: h.tls(h.authority.Client("mallory", hour)), want: codes.Unauthenticated},
		{desc: "unknown role", creds: h.tls(h.authority.Client("carol", hour)), want: codes.PermissionDenied},
		{desc: "expired certificate", creds: h.tls(h.authority.Client("alice", time.Now().Add(-time.Hour))), want: codes.Unavailable},
		{desc: "self-signed certificate", creds: h.tls(selfSigned), want: codes.Unavailable},
		{desc: "another authority's certificate", creds: h.tls(stranger.Client("alice", hour)), want: codes.Unavailable},
		{desc: "plaintext", creds: insecure.NewCredentials(), want: codes.Unavailable},
		{desc: "TLS 1.2", creds: credentials.NewTLS(&tls.Config{RootCAs: h.authority.Pool(), ServerName: "device", MaxVersion: tls.VersionTLS12}),
			want: codes.Unavailable},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			got, err := h.dial(tt.creds).Get(as(t, tt.name, tt.password), &pb.GetRequest{})
			if status.Code(err) != tt.want {
				t.Fatalf("Get: %v, want %s", err, tt.want)
			}
			if who := got.GetNotification(); err == nil && who[0].GetPrefix().GetTarget() != tt.who {
				t.Errorf("let in as %q, want %q", who[0].GetPrefix().GetTarget(), tt.who)
			}
		})
	}
}

func TestRolesBound(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	client := h.dial(h.tls())
	if _, err := client.Set(as(t, "bob", "bobbob"), &pb.SetRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("Set by a viewer: %v, want PermissionDenied", err)
	}
	if _, err := client.Get(as(t, "bob", "bobbob"), &pb.GetRequest{}); err != nil {
		t.Errorf("Get by a viewer: %v", err)
	}
	if _, err := client.Set(as(t, "alice", "alicealice"), &pb.SetRequest{}); err != nil {
		t.Errorf("Set by an operator: %v", err)
	}
	// A user who was removed is out with the next call, on the same connection.
	accesstest.WriteUsers(t, filepath.Join(h.dir, "users.json"), map[string]access.Role{"alice": access.Operator})
	if _, err := client.Get(as(t, "bob", "bobbob"), &pb.GetRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("Get by a removed user: %v, want Unauthenticated", err)
	}
}

func TestUnixSocketKnowsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test must run as root")
	}
	h := newHouse(t)
	// No certificates, no users: the unix socket works all the same, the network does not.
	client := pb.NewGNMIClient(h.conn(h.unix.String(), insecure.NewCredentials()))
	got, err := client.Get(as(t, "", ""), &pb.GetRequest{})
	if err != nil || got.GetNotification()[0].GetPrefix().GetTarget() != "root by local" {
		t.Errorf("Get as root: %v, %v", got, err)
	}
	if _, err := client.Get(as(t, "root", "x"), &pb.GetRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("Get with a wrong password: %v, want Unauthenticated", err)
	}
	if _, err := h.dial(h.tls()).Get(as(t, "", ""), &pb.GetRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("Get over TCP without the server's certificate: %v, want Unavailable", err)
	}
	// Once the files are there, no restart is needed.
	h.furnish()
	if _, err := h.dial(h.tls()).Get(as(t, "alice", "alicealice"), &pb.GetRequest{}); err != nil {
		t.Errorf("Get once the files are there: %v", err)
	}
}

func TestLargeSetPanicAndPings(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	client := h.dial(h.tls(), grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, PermitWithoutStream: true}))
	ctx := as(t, "alice", "alicealice")
	large := &pb.SetRequest{}
	value := &pb.TypedValue{Value: &pb.TypedValue_StringVal{StringVal: string(make([]byte, 1<<20))}}
	for range 12 {
		large.Update = append(large.Update, &pb.Update{Val: value})
	}
	if got, err := client.Set(ctx, large); err != nil || got.GetTimestamp() != 12 {
		t.Errorf("a Set of 12 MiB: %v, %v", got, err)
	}
	if _, err := client.Capabilities(ctx, &pb.CapabilityRequest{}); status.Code(err) != codes.Internal {
		t.Errorf("a panicking call: %v, want Internal", err)
	}
	if _, err := client.Get(ctx, &pb.GetRequest{}); err != nil {
		t.Errorf("the call after a panic: %v", err)
	}
}

func TestReflection(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	conn := h.conn(h.tcp.String(), h.tls())
	list := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	ask := func(ctx context.Context) (*reflectionv1.ServerReflectionResponse, error) {
		stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return nil, err
		}
		if err := stream.Send(list); err != nil && err != io.EOF {
			return nil, err
		}
		return stream.Recv()
	}
	if _, err := ask(as(t, "", "")); status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection by nobody: %v, want Unauthenticated", err)
	}
	got, err := ask(as(t, "bob", "bobbob"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got.GetListServicesResponse().GetService() {
		if s.GetName() == "gnmi.gNMI" {
			return
		}
	}
	t.Errorf("reflection does not know gnmi.gNMI: %v", got)
}

// TestGarbage writes what is no HTTP/2, or no gRPC, to both sockets; whoever speaks properly is served.
func TestGarbage(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	for _, garbage := range []string{
		"\x00", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("\xff", 1<<16),
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", // a preface and then nothing
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08", 1000),
	} {
		for _, a := range []net.Addr{h.tcp, h.unix} {
			conn, err := net.Dial(a.Network(), a.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// The server may close before all is written.
			_, _ = conn.Write([]byte(garbage))
		}
	}
	if _, err := h.dial(h.tls()).Get(as(t, "alice", "alicealice"), &pb.GetRequest{}); err != nil {
		t.Errorf("over TCP: %v", err)
	}
	if _, err := pb.NewGNMIClient(h.conn(h.unix.String(), insecure.NewCredentials())).Get(as(t, "", ""), &pb.GetRequest{}); err != nil {
		t.Errorf("over the unix socket: %v", err)
	}
	// A method without its slash must not slip past the gate (CVE-2026-33186).
	err := h.conn(h.tcp.String(), h.tls()).Invoke(as(t, "bob", "bobbob"), "gnmi.gNMI/Set", &pb.SetRequest{}, &pb.SetResponse{})
	if err == nil {
		t.Error("a viewer's Set went through without the slash")
	}
}
