// SPDX-License-Identifier: MIT

// A brick of type LLM on grpc-go: the process of a brick with `module: process`. Its messages are put together by hand,
// so that it needs no generated code.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

type raw struct{}

func (raw) Name() string                          { return "proto" }
func (raw) Marshal(v interface{}) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v interface{}) error {
	*v.(*[]byte) = append([]byte{}, data...)
	return nil
}

// prompt finds field 2 of an LLMRequest.
func prompt(request []byte) string {
	for len(request) > 0 {
		number, kind, n := protowire.ConsumeTag(request)
		if n < 0 {
			return ""
		}
		request = request[n:]
		if number == 2 {
			text, _ := protowire.ConsumeString(request)
			return text
		}
		request = request[protowire.ConsumeFieldValue(number, kind, request):]
	}
	return ""
}

// reply makes an LLMResponse with text and error { code: 200 }.
func reply(text string) *[]byte {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), text)
	b = append(b, 0x22, 3, 0x08, 0xc8, 0x01)
	return &b
}

func unary(_ interface{}, _ context.Context, decode func(interface{}) error, _ grpc.UnaryServerInterceptor) (interface{}, error) {
	var request []byte
	if err := decode(&request); err != nil {
		return nil, err
	}
	if prompt(request) == "fail" {
		return nil, status.Error(codes.FailedPrecondition, "as told")
	}
	return reply("go " + prompt(request)), nil
}

func stream(_ interface{}, out grpc.ServerStream) error {
	var request []byte
	if err := out.RecvMsg(&request); err != nil {
		return err
	}
	for i := 0; i < 100; i++ {
		if err := out.SendMsg(reply(fmt.Sprintf("go %d", i))); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	encoding.RegisterCodec(raw{})
	socket, err := net.Listen("unix", os.Getenv("BRICKD_SOCKET"))
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "protocols.grpc.llm.LLMService",
		HandlerType: (*interface{})(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
		Streams:     []grpc.StreamDesc{{StreamName: "OutputStreaming", Handler: stream, ServerStreams: true}},
	}, nil)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		server.GracefulStop()
	}()
	log.Print("serving in Go")
	if err := server.Serve(socket); err != nil {
		log.Fatal(err)
	}
}
