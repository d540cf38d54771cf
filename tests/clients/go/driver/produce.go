package driver

import (
	"fmt"
	"math/rand/v2"
)

const (
	sent       = 300 // records of an ordinary exercise
	compressed = 200
	largest    = 20 << 20 // bytes of the largest value
	roomy      = 30 << 20 // a batch that takes it
)

// Sending non-idempotently with every number of acks is part of the matrix, so nothing is left to defaults here.
func plain(acks int) Sending {
	return Sending{Acks: acks, Codec: "none"}
}

var exercises map[string]exercise

func init() {
	idempotent := Sending{Acks: AcksAll, Idempotent: true, Codec: "none"}
	large := plain(AcksAll)
	large.MaxBytes = roomy
	exercises = map[string]exercise{
		"acks_0":         roundTrip(plain(AcksNone), sent, Noise),
		"acks_1":         roundTrip(plain(AcksLeader), sent, Noise),
		"acks_all":       roundTrip(plain(AcksAll), sent, Noise),
		"idempotent":     roundTrip(idempotent, sent, Noise),
		"size_1b":        roundTrip(plain(AcksAll), sent, func(_ int, b *rand.ChaCha8) []byte { return noise(b, 1) }),
		"size_20mib":     roundTrip(large, 1, func(_ int, b *rand.ChaCha8) []byte { return noise(b, largest) }),
		"txn_commit":     transact(true),
		"txn_abort":      transact(false),
		"group_classic":  rebalance(Classic),
		"group_consumer": rebalance(Consumer),
		"group_share":    share,
		"admin":          administer,
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		sending := plain(AcksAll)
		sending.Codec = codec
		exercises["codec_"+codec] = roundTrip(sending, compressed, Text)
	}
}

// roundTrip sends records and compares what is read back, each once.
func roundTrip(sending Sending, count int, value func(int, *rand.ChaCha8) []byte) exercise {
	return func(r *run) (string, error) {
		records := Make(r.name, count, value)
		if err := r.send(sending, records, Ends()); err != nil {
			return "", err
		}
		if err := r.compare(false, records); err != nil {
			return "", err
		}
		return fmt.Sprintf("%d records", count), nil
	}
}

func (r *run) send(sending Sending, rounds ...[]Record) error {
	r.stage("producing")
	sending.ClientID, sending.Topic = r.client("producer"), r.topic()
	return r.lib.Produce(r.ctx, sending, rounds...)
}

// compare reads the topic up to the last of its Ends and judges all before it.
func (r *run) compare(committedOnly bool, expected ...[]Record) error {
	var tally Tally
	for _, records := range expected {
		tally.Expect(records)
	}
	r.stage("reading back")
	ended := map[int32]bool{}
	err := r.lib.Read(r.ctx, r.client("reader"), r.topic(), committedOnly, func(record Record) bool {
		if string(record.Key) == "end" {
			ended[record.Partition] = true
		} else {
			tally.Take(record)
		}
		return len(ended) < Partitions
	})
	if err != nil {
		return fmt.Errorf("%w (%v)", err, tally.Judge(true))
	}
	r.stage("comparing")
	return tally.Judge(true)
}
