package driver

import "context"

// Acks of a producer, as the protocol writes them.
const (
	AcksNone   = 0
	AcksLeader = 1
	AcksAll    = -1
)

// A group's protocol.
const (
	Classic  = "classic"
	Consumer = "consumer" // KIP-848
)

// Partitions of every topic that the harness makes.
const Partitions = 3

// Sending says how a producer is configured. What it does not mention is the library's default.
type Sending struct {
	ClientID   string
	Topic      string
	Acks       int
	Idempotent bool
	Codec      string // none, gzip, snappy, lz4 or zstd
	MaxBytes   int    // of one batch; 0: the library's default
}

// Joining names a member of a group, or a transactional producer fed by that group.
type Joining struct {
	ClientID string
	Group    string
	Topic    string
	Protocol string // Classic or Consumer
}

// A Member of a group reads in the background, from the earliest record on, until it leaves.
type Member interface {
	// Assigned gives the partitions that it holds now.
	Assigned() []int32
	// Err is not nil once it cannot go on.
	Err() error
	// Leave commits (or acknowledges) what was read, leaves the group and gives the first error that the member met.
	Leave(ctx context.Context) error
}

// A Transactor is a transactional producer fed by a group with one member.
type Transactor interface {
	// Run is one transaction. It waits until its member has read so many records more, adds their offsets (if any)
	// and these records to the transaction, and ends it.
	Run(ctx context.Context, consume int, records []Record, commit bool) error
	Close() error
}

// Admin is a library's admin client.
type Admin interface {
	CreateTopic(ctx context.Context, topic string, partitions int) error
	// Topic gives the number of partitions; 0 if there is no such topic.
	Topic(ctx context.Context, topic string) (int, error)
	DeleteTopic(ctx context.Context, topic string) error
	Config(ctx context.Context, topic, key string) (string, error)
	SetConfig(ctx context.Context, topic, key, value string) error
	EndOffsets(ctx context.Context, topic string) (map[int32]int64, error)
	Groups(ctx context.Context) ([]string, error)
	// Group gives the state of a classic group and the client ids of its members.
	Group(ctx context.Context, group string) (string, []string, error)
	// Committed gives the offsets of the partitions that have one.
	Committed(ctx context.Context, group, topic string) (map[int32]int64, error)
	Close() error
}

// Library is all that the exercises need of a client library.
type Library interface {
	// Version is "name version", from the module that was linked.
	Version() string
	// Absent says why the library cannot do an exercise at all; empty if it can.
	Absent(exercise string) string
	// Produce sends each round and waits for its acknowledgements (without acks: for its last byte) before the next.
	Produce(ctx context.Context, sending Sending, rounds ...[]Record) error
	// Pipe opens a steady producer: it fills the partitions that records name, or as the library likes (-1).
	Pipe(flow Flow) (Pipe, error)
	// Read gives all records of a topic from the first one on, until take returns false.
	Read(ctx context.Context, clientID, topic string, committedOnly bool, take func(Record) bool) error
	Join(ctx context.Context, joining Joining, got func(Record)) (Member, error)
	Transactor(ctx context.Context, joining Joining, transactionalID string) (Transactor, error)
	Admin(ctx context.Context, clientID string) (Admin, error)
}

// Sharing is implemented by libraries that have share groups (KIP-932).
type Sharing interface {
	// JoinShare accepts each record when `got` has returned.
	JoinShare(ctx context.Context, joining Joining, got func(Record)) (Member, error)
	// ShareLag gives, for each partition, how many records are not done with.
	ShareLag(ctx context.Context, clientID, group, topic string) (map[int32]int64, error)
}
