package driver

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Steady producing: DRIVER --steady SPEC.json ACKS.bin, with the files and lines of tests/java/ProducerLoad.java, which
// says what they hold. Producers keep going through errors until they are told to stop.

const (
	valueHead   = 4 + 8 + 8 // origin, number, milliseconds
	errorsShown = 100
	catchUp     = time.Second
	failed      = -2 // in the place of an offset
)

// Flow says how a steady producer is configured, and what it writes.
type Flow struct {
	ClientID   string `json:"client_id"`
	Bootstrap  string `json:"bootstrap"`
	Acks       string `json:"acks"`
	Idempotent bool   `json:"idempotence"`
	Codec      string `json:"codec"`
	Props      struct {
		LingerMs int `json:"linger.ms,string"`
	} `json:"props"`
	Streams []*Stream `json:"streams"`
}

// Linger is how long records are collected for a batch; 0: the library's default.
func (f Flow) Linger() time.Duration {
	return time.Duration(f.Props.LingerMs) * time.Millisecond
}

// Sending is the same in the words of the exercises.
func (f Flow) Sending() Sending {
	acks := map[string]int{"0": AcksNone, "1": AcksLeader, "all": AcksAll}
	codec := f.Codec
	if codec == "" {
		codec = "none"
	}
	return Sending{ClientID: f.ClientID, Acks: acks[f.Acks], Idempotent: f.Idempotent, Codec: codec}
}

// Stream is one topic written by one producer: records of so many bytes, so many a second.
type Stream struct {
	Origin     int32   `json:"origin"`
	Topic      string  `json:"topic"`
	Rate       float64 `json:"rate"`
	Size       int     `json:"size"`
	Partitions int64   `json:"partitions"`
	Keys       int64   `json:"keys"`

	sent, acked, errors, slowest atomic.Int64
}

// A Pipe is a producer that does not wait for its acknowledgements. Send may block while its buffer is full.
type Pipe interface {
	Send(topic string, record Record, done func(partition int32, offset int64, err error))
	// Close waits for what is still to be acknowledged.
	Close() error
	// Throttled is the time that answers have asked for; -1 if the library does not tell.
	Throttled() time.Duration
}

type steady struct {
	flows    []Flow
	stop     chan struct{}
	mutex    sync.Mutex // of all below
	acks     *bufio.Writer
	failures map[string]int
}

func (s *steady) say(line map[string]any) {
	line["t"] = time.Now().UnixMilli()
	text, _ := json.Marshal(line)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	fmt.Printf("%s\n", text)
}

func (s *steady) done(stream *Stream, number int64, begun time.Time, partition int32, offset int64, err error) {
	took := time.Since(begun).Milliseconds()
	if err != nil {
		offset = failed
		if stream.errors.Add(1) <= errorsShown {
			s.say(map[string]any{"error": err.Error(), "origin": stream.Origin, "seq": number})
		}
	} else {
		stream.acked.Add(1)
		for old := stream.slowest.Load(); took > old && !stream.slowest.CompareAndSwap(old, took); {
			old = stream.slowest.Load()
		}
	}
	row := binary.BigEndian.AppendUint32(nil, uint32(stream.Origin))
	row = binary.BigEndian.AppendUint64(row, uint64(number))
	row = binary.BigEndian.AppendUint32(row, uint32(partition))
	row = binary.BigEndian.AppendUint64(row, uint64(offset))
	row = binary.BigEndian.AppendUint64(row, uint64(time.Now().UnixMilli()))
	row = binary.BigEndian.AppendUint32(row, uint32(took))
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.acks.Write(row)
	if err != nil {
		s.failures[err.Error()]++
	}
}

func (stream *Stream) record(number int64, now time.Time) Record {
	record := Record{Value: make([]byte, max(stream.Size, valueHead)), Partition: -1}
	binary.BigEndian.PutUint32(record.Value, uint32(stream.Origin))
	binary.BigEndian.PutUint64(record.Value[4:], uint64(number))
	binary.BigEndian.PutUint64(record.Value[12:], uint64(now.UnixMilli()))
	if stream.Keys > 0 {
		record.Key = fmt.Appendf(nil, "key-%d", number%stream.Keys)
	}
	if stream.Partitions > 0 {
		record.Partition = int32(number % stream.Partitions)
	}
	return record
}

// write keeps a stream's pace; what the machine delayed is made up for, up to a second's worth.
func (s *steady) write(pipe Pipe, stream *Stream) {
	due := time.Now()
	chunk := max(1, int(stream.Rate/100))
	for number := int64(0); ; {
		for range chunk {
			n, begun := number, time.Now()
			pipe.Send(stream.Topic, stream.record(n, begun), func(partition int32, offset int64, err error) {
				s.done(stream, n, begun, partition, offset, err)
			})
			number++
			stream.sent.Store(number)
		}
		wait := time.Duration(0)
		if stream.Rate > 0 {
			if late := time.Now().Add(-catchUp); due.Before(late) {
				due = late
			}
			due = due.Add(time.Duration(float64(chunk) * float64(time.Second) / stream.Rate))
			wait = max(0, time.Until(due))
		}
		select {
		case <-s.stop:
			return
		case <-time.After(wait):
		}
	}
}

func (s *steady) status() map[string]any {
	streams := map[string]any{}
	for _, flow := range s.flows {
		for _, stream := range flow.Streams {
			streams[fmt.Sprint(stream.Origin)] = map[string]int64{"sent": stream.sent.Load(),
				"acked": stream.acked.Load(), "errors": stream.errors.Load(), "slowest_ms": stream.slowest.Swap(0)}
		}
	}
	return map[string]any{"streams": streams}
}

// flow runs one producer from its first record to the last acknowledgement.
func (s *steady) flow(lib Library, flow Flow) map[string]any {
	pipe, err := lib.Pipe(flow)
	if err != nil {
		s.say(map[string]any{"client_error": err.Error(), "client": flow.ClientID})
		return map[string]any{"fatal": err.Error()}
	}
	var writers sync.WaitGroup
	for _, stream := range flow.Streams {
		writers.Go(func() { s.write(pipe, stream) })
	}
	writers.Wait()
	if err := pipe.Close(); err != nil {
		s.say(map[string]any{"client_error": err.Error(), "client": flow.ClientID})
	}
	return map[string]any{"throttled_ms": pipe.Throttled().Milliseconds()}
}

func (s *steady) run(lib Library) {
	go func() {
		input := bufio.NewScanner(os.Stdin)
		for input.Scan() && input.Text() != "stop" {
		}
		close(s.stop)
	}()
	clients := map[string]any{}
	over := make(chan struct{})
	go func() {
		var flows sync.WaitGroup
		for _, flow := range s.flows {
			flows.Go(func() {
				client := s.flow(lib, flow)
				s.mutex.Lock()
				defer s.mutex.Unlock()
				clients[flow.ClientID] = client
			})
		}
		flows.Wait()
		close(over)
	}()
	for ticks := time.NewTicker(time.Second); ; {
		select {
		case <-ticks.C:
			s.say(s.status())
		case <-over:
			s.acks.Flush()
			last := s.status()
			last["final"], last["clients"], last["failures"] = true, clients, s.failures
			s.say(last)
			return
		}
	}
}

func steadily(lib Library, spec, acks string) error {
	text, err := os.ReadFile(spec)
	if err != nil {
		return err
	}
	var all struct {
		Producers []Flow `json:"producers"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	file, err := os.Create(acks)
	if err != nil {
		return err
	}
	s := &steady{flows: all.Producers, stop: make(chan struct{}), acks: bufio.NewWriterSize(file, 1<<20),
		failures: map[string]int{}}
	s.run(lib)
	return file.Close()
}

// count reads as many records of each topic as it is told: TOPIC COUNT...
func count(lib Library, wanted []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for i := 0; i+1 < len(wanted); i += 2 {
		left, err := strconv.Atoi(wanted[i+1])
		if err == nil && left > 0 {
			err = lib.Read(ctx, "count", wanted[i], false, func(Record) bool {
				left--
				return left > 0
			})
		}
		if err != nil {
			return fmt.Errorf("%s: %d records are missing: %w", wanted[i], left, err)
		}
	}
	return nil
}
