package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
)

func (c *command) correct() *cobra.Command {
	cmd := &cobra.Command{
		Use: "correct", Short: "sửa dữ liệu tại nguồn bằng sổ làm việc / correct records at the source with a workbook",
		Example: "  lienthong correct export --dataset population.person --out rows.xlsx --config node.yaml", Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.correctExport(), c.correctImport())
	return cmd
}

func (c *command) correctExport() *cobra.Command {
	var path, out string
	order := app.CorrectOrder{By: whoever()}
	cmd := &cobra.Command{
		Use: "export", Short: "xuất các dòng sai, có giá trị, để sửa / make a workbook of the rows that are wrong, with their values",
		Long: "Tệp chứa dữ liệu thật: chỉ dùng trong cơ quan, xoá khi xong việc.\n" +
			"The file holds real data: use it inside the agency, and delete it when done.",
		Example: "  lienthong correct export --dataset population.person --rule person.number.digits --field personal_number --out rows.xlsx --config node.yaml", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := lienthong.ParseDatasetID(order.Dataset); err != nil {
				return errUsage{err}
			}
			return c.withNode(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				file, err := newOutput(out)
				if err != nil {
					return err
				}
				defer file.discard()
				report, err := door.ExportRows(ctx, order, file)
				if err != nil {
					return err
				}
				if err := file.keep(); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(struct {
						app.CorrectExported
						File string `json:"file"`
					}{report, out})
				}
				c.printf("%s: %d dòng cần sửa / lines to correct\n", out, report.Lines)
				if report.More {
					c.printf("còn nữa, xuất tiếp sau khi sửa / there are more: export again after correcting\n")
				}
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	f := cmd.Flags()
	f.StringVar(&order.Dataset, "dataset", "", "database.dataset (required)")
	f.StringVar(&order.Rule, "rule", "", "only what breaks this rule")
	f.StringVar(&order.Field, "field", "", "only what is wrong about this field")
	f.StringVar(&order.Ticket, "ticket", "", "the ticket that it is for, to stand in the workbook")
	f.IntVar(&order.Rows, "limit", 0, "lines at most; default 100,000")
	f.StringVar(&out, "out", "", "the workbook to make (required)")
	required(cmd, "dataset", "out")
	return cmd
}

func required(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was defined above
		}
	}
}

func (c *command) correctImport() *cobra.Command {
	var path, answer, asCSV, asSQL string
	cmd := &cobra.Command{
		Use: "import WORKBOOK", Short: "kiểm tra sổ đã sửa; ra danh sách giá trị đúng / check a workbook that was filled in; make lists of the right values",
		Long: "Không ghi gì vào nguồn: danh sách dành cho hệ thống của chính cơ quan. Dòng không nhận được trả lại trong sổ trả lời; khi đó mã thoát là 1.\n" +
			"Nothing is written to the source: the lists are for the owner's own system. Lines that cannot be taken come back in the answer; the exit code is 1 then.",
		Example: "  lienthong correct import rows.xlsx --answer answer.xlsx --sql fixes.sql --config node.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withNode(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				book, err := os.Open(args[0])
				if err != nil {
					return &lienthong.Error{
						Code: "correct.file", Where: args[0], Vi: "không đọc được tệp", En: "the file cannot be read",
						Hint: "kiểm tra đường dẫn / check the path", Err: err,
					}
				}
				defer func() { _ = book.Close() }()
				report, err := c.importRows(ctx, door, book, answer, asCSV, asSQL)
				if err != nil {
					return err
				}
				if c.json {
					err = c.printJSON(report)
				} else {
					c.printImported(&report, answer)
				}
				if err == nil && report.Rejected > 0 {
					return errQuiet
				}
				return err
			})
		},
	}
	configFlag(cmd, &path)
	f := cmd.Flags()
	f.StringVar(&answer, "answer", "", "workbook for the lines that cannot be taken, the wrong cells marked (required)")
	f.StringVar(&asCSV, "csv", "", "list of the right values, as CSV")
	f.StringVar(&asSQL, "sql", "", "list of the right values, as UPDATE statements to look through and run")
	required(cmd, "answer")
	return cmd
}

func (c *command) importRows(ctx context.Context, door *app.Local, book io.Reader, answer, asCSV, asSQL string) (report app.CorrectImported, err error) {
	var made []*output
	defer func() {
		for _, o := range made {
			o.discard()
		}
	}()
	into := make([]io.Writer, 3)
	for i, name := range []string{answer, asCSV, asSQL} {
		if name == "" {
			continue
		}
		o, err := newOutput(name)
		if err != nil {
			return report, err
		}
		made, into[i] = append(made, o), o
	}
	if report, err = door.ImportRows(ctx, whoever(), book, into[0], into[1], into[2]); err != nil {
		return report, err
	}
	for _, o := range made {
		err = errors.Join(err, o.keep())
	}
	return report, err
}

func (c *command) printImported(r *app.CorrectImported, answer string) {
	c.printf("%s: %d dòng / lines, %d để trống / empty, %d nhận / taken, %d trả lại / rejected", r.Dataset, r.Lines, r.Empty, r.Taken, r.Rejected)
	if r.Settled > 0 {
		c.printf(", %d đã đúng tại nguồn / put right at the source meanwhile", r.Settled)
	}
	c.printf("\n")
	if r.Statements+r.Unstated > 0 {
		c.printf("SQL: %d câu lệnh / statements", r.Statements)
		if r.Unstated > 0 {
			c.printf("; %d giá trị chỉ có trong CSV / values are in the CSV list only", r.Unstated)
		}
		c.printf("\n")
	}
	for i := range r.Problems {
		p := &r.Problems[i]
		c.printf("  %s %s: %s / %s\n", p.Cell, p.Field, p.Vi, p.En)
	}
	if r.Rejected > 0 {
		c.printf("→ %s: sửa rồi nộp lại tệp này / correct this file and hand it in\n", answer)
	}
}

// output is a file with values in it: for its owner's eyes only, and whole or not there.
type output struct {
	*os.File
	name string
	kept bool
}

func newOutput(name string) (*output, error) {
	file, err := os.CreateTemp(filepath.Dir(name), ".lienthong-*")
	if err != nil {
		return nil, notWritten(name, err)
	}
	return &output{File: file, name: name}, nil
}

func notWritten(name string, err error) error {
	return &lienthong.Error{
		Code: "correct.out", Where: name, Vi: "không ghi được tệp", En: "the file cannot be written",
		Hint: "kiểm tra thư mục, quyền ghi và chỗ trống / check the folder, the right to write and the free space", Err: err,
	}
}

// keep gives the file its name.
func (o *output) keep() error {
	err := o.Close()
	if err == nil {
		err = os.Rename(o.Name(), o.name)
	}
	if err != nil {
		return notWritten(o.name, err)
	}
	o.kept = true
	return nil
}

// discard removes a file that was not kept.
func (o *output) discard() {
	if o.kept {
		return
	}
	_ = o.Close()
	_ = os.Remove(o.Name())
}
