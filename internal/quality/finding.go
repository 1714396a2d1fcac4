package quality

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/lienthong/lienthong"
)

// RecordDigest names a record to people outside without giving its identity away:
// HMAC-SHA256 over dataset and identity, cut to 80 bits, in hexadecimal.
func RecordDigest(key []byte, dataset lienthong.DatasetID, id string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(dataset.String()))
	mac.Write([]byte{0})
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil)[:10])
}

// Findings appends one finding per broken rule of a verdict. record is the
// keyed digest by which only the owner finds the record again. Samples are
// masked, always: a field that should hold a code may hold a name when columns have shifted.
func (c *Checker) Findings(dst []lienthong.Finding, verdict *Verdict, row []lienthong.Value, record string, at int64) []lienthong.Finding {
	for _, index := range verdict.Failed {
		rule := &c.rules[index]
		dst = append(dst, lienthong.Finding{
			Dataset:   c.shape.Dataset,
			Rule:      rule.Code,
			Group:     rule.Group,
			Criterion: rule.Criterion,
			Field:     rule.Field,
			Record:    record,
			Sample:    sample(&row[rule.FieldIndex], c.shape.Fields[rule.FieldIndex].Kind),
			Blocking:  rule.Blocking,
			At:        at,
		})
	}
	return dst
}

func sample(value *lienthong.Value, kind lienthong.Kind) string {
	if value.State == lienthong.Malformed {
		// The text is not of the field's kind, so the kind says nothing about it.
		return Mask(value.Bytes, lienthong.Text)
	}
	var buffer [64]byte
	return Mask(value.AppendText(buffer[:0], kind), kind)
}
