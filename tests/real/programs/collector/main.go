// SPDX-License-Identifier: MIT

// collector ADDRESS [MODE]: the receiver of an OpenTelemetry collector, OTLP over HTTP. It prints one line of JSON for
// each request, with the spans as the receiver hands them to the collector's next part, which refuses them for good
// (MODE refuses), for now (MODE busy), or takes ten seconds for them (MODE slow).
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	metrics "go.opentelemetry.io/otel/metric/noop"
	traces "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

type host struct{}

func (host) GetExtensions() map[component.ID]component.Component { return nil }

var output sync.Mutex

func take(mode string) consumer.ConsumeTracesFunc {
	return func(ctx context.Context, spans ptrace.Traces) error {
		switch mode {
		case "refuses":
			return consumererror.NewPermanent(errors.New("no such tenant"))
		case "busy":
			return errors.New("the queue is full")
		case "slow":
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
			}
		}
		line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(spans)
		if err != nil {
			return err
		}
		output.Lock()
		defer output.Unlock()
		fmt.Println(string(line))
		return nil
	}
}

func run(address, mode string) error {
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	http := map[string]any{"protocols": map[string]any{"http": map[string]any{"endpoint": address}}}
	if err := confmap.NewFromStringMap(http).Unmarshal(config); err != nil {
		return err
	}
	settings := receiver.Settings{ID: component.NewID(factory.Type())}
	settings.Logger = zap.NewNop()
	settings.TracerProvider, settings.MeterProvider = traces.NewTracerProvider(), metrics.NewMeterProvider()
	next, err := consumer.NewTraces(take(mode))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	otlp, err := factory.CreateTraces(ctx, settings, config, next)
	if err != nil {
		return err
	}
	if err := otlp.Start(ctx, host{}); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return otlp.Shutdown(context.Background())
}

func main() {
	if err := run(os.Args[1], append(os.Args, "")[2]); err != nil {
		log.Fatal(err)
	}
}
