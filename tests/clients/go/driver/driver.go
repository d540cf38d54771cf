// Package driver performs the exercises of the client matrix with any Go library of Kafka.
//
// A driver is this package and a Library: main.go of franz/ or sarama/ calls Main with it. The exercises stand in
// produce.go, transact.go, groups.go and admin.go, once for all libraries; a Library only translates. For each
// exercise one line of JSON goes to stdout. An exercise that does not end by itself is reported as failed with what
// it was doing; it is left behind, and the next one begins.
package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// The harness gives an exercise 60 s. Most libraries can be interrupted, and then say what they were doing.
const (
	deadline = 55 * time.Second
	grace    = 2 * time.Second
)

type exercise func(*run) (string, error)

// run is one exercise under way.
type run struct {
	ctx    context.Context
	lib    Library
	prefix string
	name   string
	stages chan string
}

func (r *run) topic() string {
	return r.prefix + "-" + r.name
}

// Every client.id begins with the prefix, so that its connections can be recognised.
func (r *run) client(role string) string {
	return r.topic() + "-" + role
}

// stage notes what is being done now, for the report of an exercise that got stuck.
func (r *run) stage(format string, args ...any) {
	select {
	case r.stages <- fmt.Sprintf(format, args...):
	case <-r.ctx.Done():
	}
}

// until waits for a condition; an error ends the wait.
func (r *run) until(what string, condition func() (bool, error)) error {
	r.stage("%s", what)
	for {
		done, err := condition()
		if done || err != nil {
			return err
		}
		select {
		case <-r.ctx.Done():
			return fmt.Errorf("%s: %w", what, r.ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

type report struct {
	Exercise string  `json:"exercise"`
	Result   string  `json:"result"`
	Detail   string  `json:"detail"`
	Seconds  float64 `json:"seconds"`
}

// perform runs one exercise in a goroutine of its own: not every library can be interrupted.
func perform(lib Library, prefix, name string, do exercise) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	r := &run{ctx: ctx, lib: lib, prefix: prefix, name: name, stages: make(chan string)}
	type end struct {
		detail string
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		defer func() {
			if panicked := recover(); panicked != nil {
				ended <- end{err: fmt.Errorf("panic: %v", panicked)}
			}
		}()
		detail, err := do(r)
		ended <- end{detail, err}
	}()
	stage := "beginning"
	late := time.After(deadline + grace)
	for {
		select {
		case stage = <-r.stages:
		case e := <-ended:
			if ctx.Err() != nil && e.err != nil {
				e.err = fmt.Errorf("timeout after %v: %w", deadline, e.err)
			}
			if e.err != nil {
				e.err = fmt.Errorf("%s: %w", stage, e.err)
			}
			return e.detail, e.err
		case <-late:
			return "", fmt.Errorf("%s: timeout after %v", stage, deadline)
		}
	}
}

func attempt(lib Library, prefix, name string) report {
	reason := lib.Absent(name)
	if name == "streams_eos" {
		reason = "Kafka Streams is a Java library"
	}
	if reason != "" {
		return report{Exercise: name, Result: "absent", Detail: reason}
	}
	do, known := exercises[name]
	if !known {
		return report{Exercise: name, Result: "failed", Detail: "no exercise of this name"}
	}
	start := time.Now()
	detail, err := perform(lib, prefix, name, do)
	result := "ok"
	if err != nil {
		result, detail = "failed", strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return report{name, result, detail, math.Round(time.Since(start).Seconds()*100) / 100}
}

// Main is the program. The Library is made with the bootstrap address.
func Main(open func(bootstrap string) Library) {
	var bootstrap, prefix string
	args := os.Args[1:]
	if len(args) == 1 && args[0] == "--version" {
		fmt.Println(open("").Version())
		return
	}
	if len(args) == 3 && args[0] == "--steady" {
		if err := steadily(open(""), args[1], args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	if len(args) > 3 && args[0] == "--count" {
		if err := count(open(args[1]), args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	for len(args) >= 2 && strings.HasPrefix(args[0], "--") {
		switch args[0] {
		case "--bootstrap":
			bootstrap = args[1]
		case "--prefix":
			prefix = args[1]
		default:
			args = nil
			continue
		}
		args = args[2:]
	}
	if bootstrap == "" || prefix == "" || len(args) == 0 {
		fmt.Fprintf(os.Stderr, "usage: %s --bootstrap HOST:PORT --prefix P EXERCISE...\n", os.Args[0])
		os.Exit(2)
	}
	lib := open(bootstrap)
	for _, name := range args {
		line, _ := json.Marshal(attempt(lib, prefix, name))
		fmt.Printf("%s\n", line)
	}
}

// ModuleVersion is what the program was linked with.
func ModuleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return strings.TrimPrefix(module.Version, "v")
			}
		}
	}
	return "unknown"
}
