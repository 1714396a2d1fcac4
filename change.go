package lienthong

// Op is what happened to a record.
type Op uint8

// The operations on the wire. Insert and update are one operation, because the
// hub applies both the same way and must be able to apply them twice.
const (
	Upsert Op = iota // the record is as the row says
	Delete           // the record is gone
	Hold             // the record broke a blocking rule: keep the last good state, but do not count it as landed
)

// String is the operation's name.
func (o Op) String() string {
	switch o {
	case Upsert:
		return "upsert"
	case Delete:
		return "delete"
	case Hold:
		return "hold"
	}
	return "op?"
}

// Change is one insert, update or delete of one record of a dataset.
type Change struct {
	Op      Op
	ID      []byte  // the record's identity, see Shape.AppendRecordID
	Version int64   // strictly increases per record; the hub ignores what it already has
	At      int64   // when it happened at the source, microseconds since 1970 UTC
	Values  []Value // one per field of the shape
}

// Position is a place in a source's history. Order compares places of one
// source; Token is what the source needs to resume there when the number alone
// does not say it (a GTID set, a file name).
type Position struct {
	Order uint64 `json:"order"`
	Token string `json:"token,omitempty"`
}

// Before reports whether p comes before q in the same source.
func (p Position) Before(q Position) bool { return p.Order < q.Order }
