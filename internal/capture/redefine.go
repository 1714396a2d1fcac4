package capture

import (
	"context"
	"fmt"
	"slices"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Redefine gives a dataset another definition while capture runs: how a steward releases one
// that stands still. The definition is held against the table first, and refused with everything
// that does not fit; then every dataset of the source goes on from what is durable, this one with
// its next shape. What differs at the hub is compared and sent; nothing is loaded anew.
//
// Whoever keeps the definition in a file writes the file before: capture does not.
func (c *Capture) Redefine(ctx context.Context, definition *dictionary.Definition) error {
	d := c.find(definition.Dataset)
	if d == nil {
		return noDataset(definition.Dataset)
	}
	tables, err := c.Source.Tables(ctx)
	if err != nil {
		return fmt.Errorf("capture: list tables: %w", err)
	}
	table, err := findTable(definition, tables)
	if err != nil {
		return err
	}
	saved, err := c.State.Load(ctx, definition.Dataset)
	if err != nil {
		return fmt.Errorf("capture: load state of %s: %w", definition.Dataset, err)
	}
	// The steward has seen the table as it is: its key is what the identity is agreed upon.
	trial := &dataset{definition: definition, stream: d.stream}
	agreed := saved
	agreed.Baseline = Baseline{}
	if _, err := c.fit(trial, &table, &agreed); err != nil {
		return err
	}
	if saved.Gap == nil && saved.SnapshotDone {
		now := c.Now().UnixMicro()
		if err := c.saveGap(ctx, d, &Gap{Code: GapMapping, Since: now, Resumed: now}); err != nil {
			return err
		}
	}
	baseline := Baseline{Layout: layoutOf(&table), Mapping: mappingDigest(definition)}
	if err := c.State.SaveBaseline(ctx, definition.Dataset, baseline); err != nil {
		return fmt.Errorf("capture: save what %s is compiled from: %w", definition.Dataset, err)
	}
	c.mu.Lock()
	c.definitions = slices.Clone(c.definitions)
	for i := range c.definitions {
		if c.definitions[i].Dataset == definition.Dataset {
			c.definitions[i] = definition
		}
	}
	begin, started := c.begin, c.session
	c.mu.Unlock()
	begin(&restart{})
	select {
	case <-started:
	case <-ctx.Done():
		return ctx.Err()
	}
	if d = c.find(definition.Dataset); d != nil {
		return d.stopped()
	}
	return nil
}

// Detokenise gets the value back that a token stands for. Only this node can do it.
func (c *Capture) Detokenise(dataset lienthong.DatasetID, field, token string) (string, error) {
	d := c.find(dataset)
	if d == nil {
		return "", noDataset(dataset)
	}
	for i := range d.definition.Columns {
		m := &d.definition.Columns[i]
		element, known := c.Dictionary.Element(m.Element)
		if m.Handling != dictionary.TokenValue || m.Field != field && (m.Field != "" || !known || element.Name != field) {
			continue
		}
		if c.FieldKeys == nil {
			break
		}
		key, err := c.FieldKeys(m.Key)
		if err != nil {
			return "", fmt.Errorf("capture: key %s: %w", m.Key, err)
		}
		return dictionary.Detokenise(key, token)
	}
	return "", &lienthong.Error{
		Code: "token.field", Where: dataset.String() + ": " + field, Vi: "trường này không dùng mã thay thế", En: "the field is not tokenised",
		Hint: "kiểm tra handling của trường / look at the field's handling",
	}
}
