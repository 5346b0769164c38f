// SPDX-License-Identifier: MIT

// LLMService on grpc-go. README.md says what was tuned.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"

	"google.golang.org/grpc"

	common "peer/protocols/grpc/common"
	llm "peer/protocols/grpc/llm"
)

const (
	ok        = 200
	gcPercent = 400     // the heap is small, and collected rarely
	window    = 1 << 20 // of flow control: messages of 64 KiB need no second round
)

type service struct {
	llm.UnimplementedLLMServiceServer
}

func (*service) Unary(_ context.Context, request *llm.LLMRequest) (*llm.LLMResponse, error) {
	return &llm.LLMResponse{
		Text:    "Echo: " + request.Prompt,
		IsFinal: true,
		Error:   &common.ErrorDetail{Code: ok},
	}, nil
}

func (*service) OutputStreaming(request *llm.LLMRequest, out llm.LLMService_OutputStreamingServer) error {
	n := int(request.MaxTokens)
	if n <= 0 {
		n = 10
	}
	for i := 0; i < n; i++ {
		err := out.Send(&llm.LLMResponse{
			Text:    "tok" + strconv.Itoa(i) + " ",
			IsFinal: i == n-1,
			Error:   &common.ErrorDetail{Code: ok},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go PORT")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	debug.SetGCPercent(gcPercent)
	server := grpc.NewServer(
		grpc.NumStreamWorkers(uint32(2*runtime.GOMAXPROCS(0))),
		grpc.SharedWriteBuffer(true),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
	)
	llm.RegisterLLMServiceServer(server, &service{})
	log.Fatal(server.Serve(listener))
}
