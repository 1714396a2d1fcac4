package push

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/lienthong/lienthong"
)

// How far a record has come, in the answers of the receipts.
const (
	stateAccepted = "accepted" // in the inbox
	stateBatched  = "batched"  // in a batch on its way to the hub
	stateLanded   = "landed"   // the hub has signed for that batch
	stateNothing  = "nothing"  // CANCEL of a record that was not there: nothing to carry
)

// location is what the node signs about the way of one accepted record: it ties the record's
// hash to the digest of the batch, which the hub signs for.
type location struct {
	Kind     string              `json:"kind"`
	Node     string              `json:"node,omitempty"`
	Receipt  string              `json:"receipt"`
	Type     string              `json:"MaLoaiDuLieu"`
	ID       string              `json:"IdBanGhi"`
	Version  int64               `json:"PhienBan"`
	SHA256   string              `json:"sha256"`
	Dataset  lienthong.DatasetID `json:"dataset"`
	Sequence uint64              `json:"sequence"`
	Digest   string              `json:"digest"`
	At       string              `json:"at"`
}

// splitSignature divides a detached JWS into its header and its value.
func splitSignature(jws string) (protected, value string) {
	protected, value, _ = strings.Cut(jws, "..")
	return protected, value
}

// serveReceipt answers its own client only; to others the receipt does not exist.
func (s *Source) serveReceipt(w http.ResponseWriter, r *http.Request, client *Client) {
	id := r.PathValue("id")
	no, item, ok := parseReceipt(id)
	if !ok {
		s.answerRefusal(w, r, refuse("push.not_found", ""))
		return
	}
	owner, at, payload, signature, positions, err := s.acceptance(r.Context(), no)
	if errors.Is(err, &lienthong.Error{Code: "push.not_found"}) || err == nil && (owner != client.Name || item >= len(positions)/8) {
		s.answerRefusal(w, r, refuse("push.not_found", ""))
		return
	}
	var signed statement
	if err == nil {
		err = json.Unmarshal([]byte(payload), &signed)
	}
	if err != nil || item >= len(signed.Records) {
		s.internal(w, r, err)
		return
	}
	one := signed.Records[item]
	position := binary.BigEndian.Uint64(positions[item*8:])
	state, progress := stateAccepted, Progress{}
	switch {
	case position == positionNoChange:
		state = stateNothing
	case s.config.Tracker != nil:
		if progress, err = s.config.Tracker.Track(r.Context(), Entry{Table: one.Type, Position: position, Accepted: at}); err != nil {
			s.internal(w, r, err)
			return
		}
		if progress.Sequence > 0 {
			state = stateBatched
		}
		if progress.Sequence > 0 && len(progress.Receipt) > 0 {
			state = stateLanded
		}
	}
	var where []byte
	var whereSignature string
	if progress.Sequence > 0 {
		where, err = json.Marshal(location{
			Kind: locationKind, Node: s.config.Node, Receipt: id, Type: one.Type, ID: one.ID, Version: one.Version, SHA256: one.SHA256,
			Dataset: progress.Dataset, Sequence: progress.Sequence, Digest: progress.Digest, At: string(appendTime(nil, s.config.Now())),
		})
		if err == nil {
			whereSignature, err = s.config.Signer.Sign(where)
		}
		if err != nil {
			s.internal(w, r, err)
			return
		}
	}
	s.respond(w, r, http.StatusOK, func(a *answer) {
		a.text("receipt", id)
		a.text("state", state)
		a.text("MaLoaiDuLieu", one.Type)
		a.text(columnKey, one.ID)
		a.number(columnVersion, one.Version)
		a.text("sha256", one.SHA256)
		a.signed("acceptance", payload, signature)
		if progress.Sequence > 0 {
			a.signed("location", string(where), whereSignature)
		}
		if state == stateLanded {
			a.signed("hub", string(progress.Receipt), progress.Signature)
		}
	})
}

func (s *Source) internal(w http.ResponseWriter, r *http.Request, err error) {
	s.config.Log.ErrorContext(r.Context(), "push: request failed", slog.String("path", r.Pattern), slog.Any("error", err))
	s.answerRefusal(w, r, refuse("push.internal", ""))
}
