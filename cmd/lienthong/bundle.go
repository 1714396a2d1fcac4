package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
)

func (c *command) bundle() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bundle", Short: "chuyển dữ liệu bằng tệp khi không có đường truyền / carry data in files where no line goes",
		Example: "  lienthong bundle export --config node.yaml --out /media/usb", Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.bundleExport(), c.bundleImport())
	return cmd
}

func (c *command) bundleExport() *cobra.Command {
	var path, out, to, limit string
	cmd := &cobra.Command{
		Use: "export", Short: "xuất lô của nút, hoặc biên nhận của trung tâm / export batches of a node, or receipts of a hub",
		Example: "  lienthong bundle export --config node.yaml --out /media/usb --limit 4GB\n  lienthong bundle export --config hub.yaml --to h12-xa-a --out receipts.ltb",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := c.logger()
			if err != nil {
				return err
			}
			most, err := parseSize(limit)
			if err != nil {
				return errUsage{err}
			}
			hub, node, err := app.LoadAnyConfig(path)
			if err != nil {
				return errUsage{err}
			}
			reports, err := app.ExportBundle(cmd.Context(), hub, node, out, to, most, log)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(reports)
			}
			for _, r := range reports {
				c.printf("%s: %s → %s, %d lô / batches, %d biên nhận / receipts, %d byte\n", r.File, r.From, r.To, r.Batches, r.Receipts, r.Bytes)
			}
			if reports[len(reports)-1].More {
				c.printf("còn lô chưa xuất; chọn --out là một thư mục để có nhiều phần / batches are left; name a folder as --out for several parts\n")
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "file, or a folder for as many files as are needed (required)")
	f.StringVar(&to, "to", "", "receiver: at a hub the node that gets receipts, or the hub above; default: the hub of the node")
	f.StringVar(&limit, "limit", "", "largest file: 4GB, 700MiB (default: no limit)")
	if err := cmd.MarkFlagRequired("out"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

// parseSize reads 4GB, 700MiB or a number of bytes; empty is 0.
func parseSize(text string) (int64, error) {
	number, factor := strings.ToLower(strings.TrimSpace(text)), 1.0
	if number == "" {
		return 0, nil
	}
	for _, unit := range []struct {
		suffix string
		bytes  float64
	}{{"gib", 1 << 30}, {"mib", 1 << 20}, {"kib", 1 << 10}, {"gb", 1e9}, {"mb", 1e6}, {"kb", 1e3}, {"b", 1}} {
		if rest, ok := strings.CutSuffix(number, unit.suffix); ok {
			number, factor = strings.TrimSpace(rest), unit.bytes
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v*factor < 1 || v*factor > math.MaxInt64/2 {
		return 0, &lienthong.Error{
			Code: "usage", Where: text, Vi: "không phải dung lượng tệp", En: "not the size of a file", Hint: "4GB, 700MiB",
		}
	}
	return int64(v * factor), nil
}

func (c *command) bundleImport() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "import FILE", Short: "nhập một gói tại trung tâm, hoặc biên nhận tại nút / import a bundle at a hub, or receipts at a node",
		Example: "  lienthong bundle import --config hub.yaml /media/usb/h12-xa-a-h12-0a1b2c3d-001.ltb", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := c.logger()
			if err != nil {
				return err
			}
			hub, node, err := app.LoadAnyConfig(path)
			if err != nil {
				return errUsage{err}
			}
			report, err := app.ImportBundle(cmd.Context(), hub, node, args[0], log)
			if err != nil {
				return err
			}
			if c.json {
				err = c.printJSON(report)
			} else {
				c.printf("%s ← %s: %d lô / batches, %d biên nhận / receipts\n", report.Kind, report.From, report.Batches, report.Receipts)
				for _, s := range report.Streams {
					c.printf("  %s #%d-%d: landed #%d\n", s.Stream, s.First, s.Last, s.Landed)
				}
				if node != nil {
					c.printf("còn chờ biên nhận / without a receipt: %d\n", report.Waiting)
				}
			}
			if err == nil && report.Refused > 0 {
				return &lienthong.Error{
					Code: "bundle.refused", Where: report.From, Vi: "trung tâm từ chối một phần các lô trong gói", En: "the hub refuses a part of the batches in the bundle",
					Hint: "xem nhật ký kiểm toán (refusal), rồi xuất lại gói ở nút / see the audit log (refusal), then export again at the node",
				}
			}
			return err
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (c *command) receipts() *cobra.Command {
	var path, dataset string
	var last int
	cmd := &cobra.Command{
		Use: "receipts", Short: "biên nhận của từng lô qua các cấp / the receipts of each batch, tier by tier",
		Example: "  lienthong receipts --config node.yaml --last 20", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := app.LoadNodeConfig(path)
			if err != nil {
				return errUsage{err}
			}
			batches, err := app.Receipts(cmd.Context(), config, dataset, last)
			if err != nil {
				return err
			}
			if c.json {
				err = c.printJSON(batches)
			} else {
				w := tabwriter.NewWriter(c.stdout, 2, 4, 2, ' ', 0)
				for _, b := range batches {
					fmt.Fprintf(w, "%s\t#%d\t%.12s\tsealed %s", b.Dataset, b.Sequence, b.Digest, b.Sealed) //nolint:errcheck // flushed below
					for _, r := range b.Receipts {
						state := "✓"
						if !r.Verified {
							state = r.Problem
						}
						fmt.Fprintf(w, "\t%s %s %s", r.Hub, r.Applied, state) //nolint:errcheck // flushed below
					}
					fmt.Fprintln(w) //nolint:errcheck // flushed below
				}
				err = w.Flush()
			}
			for _, b := range batches {
				for _, r := range b.Receipts {
					if err == nil && !r.Verified {
						return errQuiet
					}
				}
			}
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&dataset, "dataset", "", "only this dataset: population.person")
	cmd.Flags().IntVar(&last, "last", 20, "how many of the newest batches")
	return cmd
}
