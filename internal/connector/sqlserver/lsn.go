package sqlserver

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/lienthong/lienthong"
)

// lsn is a place in the log: a virtual log file, a block of it, a record of that.
type lsn [10]byte

// What an LSN has in practice: 33 million virtual log files, of 32 GiB, with 4,096 records in a block of 60 KiB.
const (
	fileBits   = 25
	blockBits  = 26
	recordBits = 12
)

func parseLSN(text string) (lsn, error) {
	var l lsn
	raw, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err == nil && len(raw) == len(l) {
		return lsn(raw), nil
	}
	return l, &lienthong.Error{
		Code: "sqlserver.position", Err: err,
		Vi: "vị trí đã lưu không phải LSN", En: "the stored position is not an LSN",
		Hint: "nạp lại từ đầu / start the snapshot again",
	}
}

// lsnOf reads what the driver returned for binary(10). NULL is the beginning.
func lsnOf(raw []byte) (lsn, error) {
	if raw == nil {
		return lsn{}, nil
	}
	return parseLSN(hex.EncodeToString(raw))
}

func (l lsn) String() string   { return hex.EncodeToString(l[:]) }
func (l lsn) less(o lsn) bool  { return bytes.Compare(l[:], o[:]) < 0 }
func (l lsn) argument() []byte { return append([]byte(nil), l[:]...) }
func (l lsn) zero() bool       { return l == lsn{} }

// next is the LSN after l, as sys.fn_cdc_increment_lsn has it.
func (l lsn) next() lsn {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i]++; l[i] != 0 {
			break
		}
	}
	return l
}

// pack keeps the order of LSNs in 63 bits.
func (l lsn) pack() (int64, error) {
	file, block, record := binary.BigEndian.Uint32(l[:4]), binary.BigEndian.Uint32(l[4:8]), binary.BigEndian.Uint16(l[8:])
	if file>>fileBits != 0 || block>>blockBits != 0 || record>>recordBits != 0 {
		return 0, &lienthong.Error{
			Code: "sqlserver.lsn", Where: l.String(),
			Vi: "LSN vượt quá phạm vi hỗ trợ", En: "the LSN is beyond what can be numbered",
			Hint: "tách tệp nhật ký thành các tệp ảo nhỏ hơn 32 GiB / keep virtual log files below 32 GiB",
		}
	}
	return int64(file)<<(blockBits+recordBits) | int64(block)<<recordBits | int64(record), nil
}

func (l lsn) position() (lienthong.Position, error) {
	order, err := l.pack()
	return lienthong.Position{Order: uint64(order), Token: l.String()}, err
}

// lsnAt is the LSN of a position; the token says it exactly, the order says it too.
func lsnAt(pos lienthong.Position) (lsn, error) {
	if pos.Token != "" {
		return parseLSN(pos.Token)
	}
	var l lsn
	if pos.Order >= 1<<63 {
		return l, &lienthong.Error{
			Code: "sqlserver.position", Vi: "vị trí không phải của nguồn này", En: "the position is not one of this source",
			Hint: "nạp lại từ đầu / start the snapshot again",
		}
	}
	binary.BigEndian.PutUint32(l[:4], uint32(pos.Order>>(blockBits+recordBits)))
	binary.BigEndian.PutUint32(l[4:8], uint32(pos.Order>>recordBits&(1<<blockBits-1)))
	binary.BigEndian.PutUint16(l[8:], uint16(pos.Order&(1<<recordBits-1)))
	return l, nil
}
