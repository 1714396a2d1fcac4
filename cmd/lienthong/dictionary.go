package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lienthong/lienthong/internal/app"
)

func (c *command) dictionary() *cobra.Command {
	cmd := &cobra.Command{Use: "dictionary", Short: "từ điển dữ liệu dùng chung / the common dictionary", Example: "  lienthong dictionary list --json", Args: cobra.NoArgs}
	cmd.AddCommand(c.dictionaryList(), c.dictionaryExport(), c.dictionaryImport())
	return cmd
}

func (c *command) dictionaryList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "liệt kê phần tử dữ liệu / list data elements", Example: "  lienthong dictionary list --json", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			elements, err := app.Elements()
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(elements)
			}
			w := tabwriter.NewWriter(c.stdout, 2, 4, 2, ' ', 0)
			for _, e := range elements {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.ID, e.Kind, e.NameVi, e.NameEn) //nolint:errcheck // flushed below
			}
			return w.Flush()
		},
	}
}

func (c *command) dictionaryExport() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "export FORMAT", Short: "xuất từ điển trong chương trình: csv, xlsx, json, yaml, jsonld, ttl / write the dictionary inside the program",
		Example: "  lienthong dictionary export xlsx --out tu-dien.xlsx", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var b bytes.Buffer
			if err := app.WriteDictionary(&b, args[0]); err != nil {
				return err
			}
			if out == "" {
				_, err := c.stdout.Write(b.Bytes())
				return err
			}
			return os.WriteFile(out, b.Bytes(), 0o644) //nolint:gosec // the dictionary is public
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write; default: standard output")
	return cmd
}

func (c *command) dictionaryImport() *cobra.Command {
	var path, account string
	cmd := &cobra.Command{
		Use: "import FILE", Short: "soạn bản nháp từ tệp xlsx, csv hoặc yaml / make drafts from a file of elements",
		Example: "  lienthong dictionary import de-xuat.xlsx --account lan.nguyen --config hub.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := app.LoadHubConfig(path)
			if err != nil {
				return errUsage{err}
			}
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = file.Close() }()
			report, err := app.ImportElements(cmd.Context(), config, account, filepath.Base(args[0]), file)
			if err != nil {
				return err
			}
			if c.json {
				err = c.printJSON(report)
			} else {
				c.printf("bản nháp / drafts: %d, không đổi / unchanged: %d, lỗi / wrong: %d\n", len(report.Drafted), len(report.Unchanged), len(report.Problems)+len(report.Refused))
				c.printProblems(report.Problems)
				c.printProblems(report.Refused)
			}
			if err == nil && len(report.Problems)+len(report.Refused) > 0 {
				return errQuiet
			}
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&account, "account", "", "whose drafts they are: lienthong account list")
	if err := cmd.MarkFlagRequired("account"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

func (c *command) printProblems(problems []app.ImportedProblem) {
	for _, p := range problems {
		place := p.ID + p.Column
		if p.Row > 0 {
			place = fmt.Sprintf("dòng / row %d %s", p.Row, p.Column)
		}
		c.printf("  %s: %s / %s [%s]\n", place, p.Vi, p.En, p.Code)
	}
}

// contract reads data contracts of other systems.
func (c *command) contract() *cobra.Command {
	cmd := &cobra.Command{
		Use: "contract", Short: "hợp đồng dữ liệu ODCS / data contracts", Example: "  lienthong contract import hop-dong.yaml --out definitions", Args: cobra.NoArgs,
	}
	var out string
	read := &cobra.Command{
		Use: "import FILE", Short: "đọc hợp đồng thành định nghĩa tập dữ liệu / read a contract into definitions of datasets",
		Example: "  lienthong contract import hop-dong.yaml --out definitions", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			report, err := app.ReadContract(filepath.Base(args[0]), data)
			if err != nil {
				return err
			}
			wrong := 0
			for i, d := range report.Definitions {
				wrong += len(d.Problems)
				if out == "" {
					continue
				}
				name := d.Dataset
				if name == "" {
					name = fmt.Sprintf("draft-%d", i+1)
				}
				if err := os.WriteFile(filepath.Join(out, name+".yaml"), []byte(d.YAML), 0o600); err != nil {
					return err
				}
			}
			if c.json {
				err = c.printJSON(report)
			} else {
				c.printf("định nghĩa / definitions: %d, còn phải sửa / to be mended: %d, chưa hiểu / not understood: %d\n", len(report.Definitions), wrong, len(report.NotUnderstood))
				for _, d := range report.Definitions {
					c.printProblems(d.Problems)
				}
				c.printProblems(report.NotUnderstood)
			}
			if err == nil && wrong > 0 {
				return errQuiet
			}
			return err
		},
	}
	read.Flags().StringVar(&out, "out", "", "directory to write the definitions to; default: they are only looked at")
	cmd.AddCommand(read)
	return cmd
}

// datasetRecheck has a hub count all rules of a dataset anew.
func (c *command) datasetRecheck() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "recheck DATASET", Short: "kiểm tra lại toàn bộ dữ liệu đã về trung tâm / check everything that has landed at the hub anew",
		Example: "  lienthong dataset recheck population.person --config hub.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHub(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				var report app.RecheckReport
				if err := door.Do(ctx, "GET", "/recheck?dataset="+url.QueryEscape(args[0]), nil, &report); err != nil {
					return err
				}
				differs := false
				for _, d := range report.Differences {
					differs = differs || d.Why == "differs"
				}
				var err error
				if c.json {
					err = c.printJSON(report)
				} else {
					c.printf("bản ghi / records: %d\n", report.Rows)
					for _, rule := range report.Rules {
						c.printf("  %-40s %-24s %d\n", rule.Code, rule.Field, rule.Failed)
					}
					for _, d := range report.Differences {
						c.printf("khác số đang có / differs from the running figures: %s %s: %d, %d (%s)\n", d.Code, d.Field, d.Incremental, d.Rechecked, d.Why)
					}
				}
				if err == nil && differs {
					return errQuiet
				}
				return err
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}
