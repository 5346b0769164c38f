// SPDX-License-Identifier: MIT

// A brick in Go: an LLM that repeats the prompt, in bytes as they travel.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
)

type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (bytesCodec) Unmarshal(b []byte, v any) error { *v.(*[]byte) = append([]byte{}, b...); return nil }
func (bytesCodec) Name() string                    { return "proto" }

func reply(request []byte) *[]byte {
	r := append([]byte{0x0a}, request[1:]...)
	r = append(r, 0x22, 3, 8, 0xc8, 1) // error { code: 200 }
	return &r
}

func unary(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var request []byte
	if err := decode(&request); err != nil {
		return nil, err
	}
	return reply(request), nil
}

func stream(_ any, s grpc.ServerStream) error {
	var request []byte
	if err := s.RecvMsg(&request); err != nil {
		return err
	}
	for range [3]struct{}{} {
		if err := s.SendMsg(reply(request)); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	listener, err := net.Listen("unix", os.Getenv("BRICKD_SOCKET"))
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "protocols.grpc.llm.LLMService",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
		Streams:     []grpc.StreamDesc{{StreamName: "OutputStreaming", Handler: stream, ServerStreams: true}},
	}, nil)
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		<-terminated
		log.Print("go stops")
		server.GracefulStop()
	}()
	log.Print("go serves")
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
