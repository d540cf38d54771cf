package driver

import "testing"

// A judgement that cannot fail would make the whole matrix worthless.
func TestTally(t *testing.T) {
	records := Make("test", 20, Noise)
	changed := records[1]
	changed.Value = append([]byte{changed.Value[0] ^ 1}, changed.Value[1:]...)
	keyed := records[0] // has no key, which is not the same as an empty one
	keyed.Key = []byte{}
	bare := records[5]
	bare.Headers = nil
	moved := records[2]
	moved.Partition = 1
	for name, read := range map[string][]Record{
		"missing":   records[1:],
		"repeated":  append([]Record{records[3]}, records...),
		"value":     append([]Record{changed}, append(records[:1:1], records[2:]...)...),
		"key":       append([]Record{keyed}, records[1:]...),
		"headers":   append([]Record{bare}, append(records[:5:5], records[6:]...)...),
		"partition": append([]Record{moved}, append(records[:2:2], records[3:]...)...),
		"":          records,
	} {
		var tally Tally
		tally.Expect(records)
		for _, record := range read {
			tally.Take(record)
		}
		if err := tally.Judge(true); (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
		if err := tally.Judge(false); (err == nil) != (name == "" || name == "repeated") {
			t.Errorf("%q, repetitions allowed: %v", name, err)
		}
	}
}

func TestHalves(t *testing.T) {
	for _, c := range []struct {
		a, b []int32
		want bool
	}{
		{[]int32{2, 0}, []int32{1}, true},
		{[]int32{0, 1, 2}, nil, false},
		{[]int32{0, 1}, []int32{1, 2}, false},
		{[]int32{0}, []int32{1}, false},
	} {
		if halves(c.a, c.b) != c.want {
			t.Errorf("halves(%v, %v)", c.a, c.b)
		}
	}
}
