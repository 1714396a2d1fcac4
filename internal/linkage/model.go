package linkage

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/lienthong/lienthong"
)

// Model says what the agreement of two records weighs. It holds no value of any record:
// words of names are kept by their digest, and only those that several people have.
type Model struct {
	Kind    string       `json:"kind"` // "person" or "organisation"
	Records int64        `json:"records"`
	Pairs   int64        `json:"pairs"`   // candidates that the estimate saw
	Labels  int          `json:"labels"`  // answers of people that went into it
	Prior   float64      `json:"prior"`   // the probability that any two records are the same
	Shift   float64      `json:"shift"`   // bits that the answers of people add to every pair
	Fields  []FieldModel `json:"fields"`  // in the order of the comparison
	Same    float64      `json:"same"`    // from this weight on a pair is proposed as the same
	Ask     float64      `json:"ask"`     // from this weight on it is asked
	Quality Quality      `json:"quality"` // estimated at these thresholds
	Words   []WordModel  `json:"words"`   // the frequent words of names

	rare map[uint64]rarity // by digest, marked words and plain ones apart
}

// FieldModel is one field.
type FieldModel struct {
	ID     string       `json:"id"`
	Vi     string       `json:"vi"`
	En     string       `json:"en"`
	Levels []LevelModel `json:"levels"`
}

// LevelModel is one level of agreement.
type LevelModel struct {
	ID     string  `json:"id"`
	Vi     string  `json:"vi"`
	En     string  `json:"en"`
	M      float64 `json:"m"`      // share of duplicates at this level
	U      float64 `json:"u"`      // share of strangers
	Weight float64 `json:"weight"` // log2(m/u), in bits
	// Rarity is how rare the agreeing words of strangers usually are, in bits: rarer ones add
	// to the weight, commoner ones take from it. 0 where rarity does not count.
	Rarity float64 `json:"rarity,omitempty"`
}

// Quality is what the estimate expects.
type Quality struct {
	Precision float64 `json:"precision"` // right proposals among those in "same"
	Recall    float64 `json:"recall"`    // duplicates in "same" among all that were compared
	Asked     float64 `json:"asked"`     // duplicates in "ask" among all that were compared
}

// WordModel is how often a word occurs in names.
type WordModel struct {
	Digest string  `json:"digest"` // 64 bits in hexadecimal
	Marked bool    `json:"marked"` // the word with its marks; otherwise without
	Share  float64 `json:"share"`  // of the records
}

// Limits of what a name's rarity may change, in bits, so that one rare word never
// decides alone.
const (
	rarityDown = -8
	rarityUp   = 8
)

// ParseModel reads a model that was written as JSON.
func ParseModel(data []byte) (*Model, error) {
	m := new(Model)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, modelError("mô hình không đọc được", "the model cannot be read", err)
	}
	var fields []field
	switch m.Kind {
	case "person":
		fields = personFields()
	case "organisation":
		fields = organisationFields()
	}
	if len(fields) == 0 || len(fields) != len(m.Fields) || m.Records < 0 || !probability(m.Prior) || m.Prior > 0.5 || m.Ask > m.Same || math.IsNaN(m.Ask+m.Same+m.Shift) {
		return nil, modelError("mô hình không thuộc phiên bản này", "the model is not of this version", nil)
	}
	for i, f := range fields {
		if m.Fields[i].ID != f.id || len(m.Fields[i].Levels) != len(f.levels) {
			return nil, modelError("mô hình không thuộc phiên bản này", "the model is not of this version", nil)
		}
		for j, l := range f.levels {
			known := &m.Fields[i].Levels[j]
			if known.ID != l.id || j > 0 && (!probability(known.M) || !probability(known.U)) {
				return nil, modelError("mô hình không thuộc phiên bản này", "the model is not of this version", nil)
			}
			known.Vi, known.En = l.vi, l.en
			known.Weight = 0
			if j > 0 {
				known.Weight = math.Log2(known.M / known.U)
			}
		}
		m.Fields[i].Vi, m.Fields[i].En = f.vi, f.en
	}
	return m, m.index()
}

func probability(p float64) bool { return p > 0 && p <= 1 }

func modelError(vi, en string, cause error) error {
	return &lienthong.Error{Code: "linkage.model", Vi: vi, En: en, Err: cause, Hint: "ước lượng lại từ dữ liệu / estimate it again from the records"}
}

// index prepares the look-up of words.
func (m *Model) index() error {
	m.rare = make(map[uint64]rarity, len(m.Words))
	for _, w := range m.Words {
		digest, err := strconv.ParseUint(w.Digest, 16, 64)
		if err != nil || !probability(w.Share) {
			return modelError("mô hình có từ không đọc được", "the model has a word that cannot be read", err)
		}
		m.rare[wordKey(digest, w.Marked)] = rarityOfShare(w.Share)
	}
	return nil
}

func wordKey(digest uint64, marked bool) uint64 {
	if marked {
		return digest
	}
	return mix(digest + 1)
}

// rarity is how unlikely it is to meet the word in a stranger's name. A word that
// the model does not list is rarer than any that it lists.
func (m *Model) rarity(hash uint64, marked bool) rarity {
	if bits, known := m.rare[wordKey(hash, marked)]; known {
		return bits
	}
	return rarityOfShare(rareWord / 2.0 / float64(m.Records+rareWord))
}

// rareWord is the number of records from which a word is listed.
const rareWord = 4

// commonFloor is the rarity up to which a word is one that people are called by: one
// record in 4,000, and ten records at least.
func (m *Model) commonFloor() rarity {
	share := math.Max(1.0/4000, 10/(float64(m.Records)+1))
	return rarityOfShare(min(share, 1))
}

// weigh sums up a pair.
func (m *Model) weigh(v *vector) float64 {
	sum := math.Log2(m.Prior/(1-m.Prior)) + m.Shift
	for f := range m.Fields {
		sum += m.Fields[f].bits(v.levels[f], v.rarity)
	}
	return sum
}

// bits is what a field at a level weighs.
func (f *FieldModel) bits(level uint8, r rarity) float64 {
	l := &f.Levels[level]
	if l.Rarity == 0 {
		return l.Weight
	}
	return l.Weight + min(max(r.bits()-l.Rarity, rarityDown), rarityUp)
}

// probabilityOf turns a weight into a probability.
func probabilityOf(weight float64) float64 { return 1 / (1 + math.Exp2(-weight)) }

// Evidence is one reason for or against two records being the same, in words, without
// any value of theirs.
type Evidence struct {
	Field  string  `json:"field"`
	Level  string  `json:"level"`
	Vi     string  `json:"vi"`
	En     string  `json:"en"`
	Weight float64 `json:"weight"` // bits: positive speaks for, negative against
}

// Explain takes the weight of a pair apart. The parts, the starting point included, add up to it.
func (m *Model) Explain(p *Pair) []Evidence {
	prior := math.Log2(m.Prior/(1-m.Prior)) + m.Shift
	parts := []Evidence{{
		Field: "prior", Level: "start",
		Vi:     fmt.Sprintf("xuất phát: trong %.0f cặp bản ghi bất kỳ có một cặp trùng", math.Round(1/probabilityOf(prior))),
		En:     fmt.Sprintf("to begin with: one pair in %.0f is a duplicate", math.Round(1/probabilityOf(prior))),
		Weight: prior,
	}}
	for i := range m.Fields {
		f := &m.Fields[i]
		level := &f.Levels[p.vector.levels[i]]
		part := Evidence{Field: f.ID, Level: level.ID, Weight: f.bits(p.vector.levels[i], p.vector.rarity)}
		part.Vi, part.En = f.Vi+": "+level.Vi, f.En+": "+level.En
		if level.Rarity > 0 {
			switch change := p.vector.rarity.bits() - level.Rarity; {
			case change >= 2:
				part.Vi, part.En = part.Vi+"; tên ít gặp", part.En+"; a rare name"
			case change <= -2:
				part.Vi, part.En = part.Vi+"; tên rất phổ biến", part.En+"; a very common name"
			}
		}
		parts = append(parts, part)
	}
	return parts
}
