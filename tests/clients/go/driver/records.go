package driver

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
)

type Header struct {
	Key   string
	Value []byte
}

// A Record as it is sent and as it is read back. A null key is nil.
type Record struct {
	Partition int32
	Key       []byte
	Value     []byte
	Headers   []Header
}

func appendBytes(to, bytes []byte) []byte {
	length := int32(len(bytes))
	if bytes == nil {
		length = -1
	}
	return append(binary.BigEndian.AppendUint32(to, uint32(length)), bytes...)
}

// identity holds everything that must come back unchanged; null differs from empty.
func (r Record) identity() string {
	id := appendBytes(binary.BigEndian.AppendUint32(nil, uint32(r.Partition)), r.Key)
	id = appendBytes(id, r.Value)
	for _, header := range r.Headers {
		id = appendBytes(appendBytes(id, []byte(header.Key)), header.Value)
	}
	return string(id)
}

// random is the same on every run for the same name.
func random(name string) *rand.ChaCha8 {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], hash.Sum64())
	return rand.NewChaCha8(seed)
}

// Make gives records spread over the partitions; some have no key, some have headers.
func Make(name string, count int, value func(n int, bytes *rand.ChaCha8) []byte) []Record {
	bytes := random(name)
	records := make([]Record, count)
	for n := range records {
		record := Record{Partition: int32(n % Partitions), Value: value(n, bytes)}
		if n%7 != 0 {
			record.Key = fmt.Appendf(nil, "%s-%d", name, n)
		}
		if n%5 == 0 {
			record.Headers = []Header{{"number", fmt.Append(nil, n)}, {"bytes", noise(bytes, 16)}}
		}
		records[n] = record
	}
	return records
}

func noise(bytes *rand.ChaCha8, length int) []byte {
	value := make([]byte, length)
	bytes.Read(value)
	return value
}

// Noise is a value of up to 1000 random bytes.
func Noise(_ int, bytes *rand.ChaCha8) []byte {
	return noise(bytes, 1+int(bytes.Uint64()%1000))
}

// Text is a value that compresses well.
func Text(n int, bytes *rand.ChaCha8) []byte {
	return fmt.Appendf(nil, "%d %x %s", n, noise(bytes, 8), strings.Repeat("water is held back, and let go; ", 40))
}

// Ends gives one record for each partition that tells a reader that it has seen all before it.
func Ends() []Record {
	ends := make([]Record, Partitions)
	for p := range ends {
		ends[p] = Record{Partition: int32(p), Key: []byte("end"), Value: []byte("end of the exercise")}
	}
	return ends
}

// A Tally compares what is read with what was sent. Readers may call it from several threads.
type Tally struct {
	mutex    sync.Mutex
	open     map[string]int // by identity: how often it is still to come
	missing  int
	repeated int // sent, and read more often than that
	alien    int // never sent
	sent     map[string]bool
}

func (t *Tally) Expect(records []Record) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.open == nil {
		t.open, t.sent = map[string]int{}, map[string]bool{}
	}
	for _, record := range records {
		t.open[record.identity()]++
		t.sent[record.identity()] = true
	}
	t.missing += len(records)
}

func (t *Tally) Take(record Record) {
	id := record.identity()
	t.mutex.Lock()
	defer t.mutex.Unlock()
	switch {
	case t.open[id] > 0:
		t.open[id]--
		t.missing--
	case t.sent[id]:
		t.repeated++
	default:
		t.alien++
	}
}

func (t *Tally) Missing() int {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.missing
}

// Judge gives an error unless everything came; `once` forbids repetitions too.
func (t *Tally) Judge(once bool) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.missing > 0 || t.alien > 0 || once && t.repeated > 0 {
		return fmt.Errorf("%d records missing, %d repeated, %d never sent", t.missing, t.repeated, t.alien)
	}
	return nil
}
