package main

import (
	"context"
	"fmt"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/feed"
)

func (c *command) feed() *cobra.Command {
	cmd := &cobra.Command{
		Use: "feed", Short: "đăng ký nhận thay đổi của hệ thống khác / subscriptions of consuming systems",
		Example: "  lienthong feed list --config hub.yaml", Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.feedAdd(), c.feedList(), c.feedShow(), c.feedRemove(), c.feedKey(), c.feedResume())
	return cmd
}

// withHub gives a command to the hub that runs on the configuration's data directory.
func withHub(ctx context.Context, path string, do func(ctx context.Context, door *app.Local) error) error {
	config, err := app.LoadHubConfig(path)
	if err != nil {
		return errUsage{err}
	}
	door, err := app.DialLocal(config.Data)
	if err != nil {
		return err
	}
	defer door.Close()
	return do(ctx, door)
}

func (c *command) feedAdd() *cobra.Command {
	var path, id, consumer, member, dataset, rows, webhook, until, by string
	var fields, deliveries []string
	cmd := &cobra.Command{
		Use: "add", Short: "cấp quyền nhận dữ liệu, in khoá một lần / make a subscription and show its key once",
		Example: "  lienthong feed add --config hub.yaml --id bhxh-dan-cu --consumer 'BHXH Việt Nam' --member G33 \\\n" +
			"    --dataset population.citizen --fields citizen_id,full_name --rows commune@96 --until 2027-12-31",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parsed, err := lienthong.ParseDatasetID(dataset)
			if err != nil {
				return errUsage{err}
			}
			draft := feed.Subscription{
				ID: id, Consumer: feed.Consumer{Name: consumer, Member: lienthong.MemberCode(member)}, Dataset: parsed, Fields: fields, Webhook: webhook, CreatedBy: by,
			}
			for _, d := range deliveries {
				draft.Deliveries = append(draft.Deliveries, feed.Delivery(d))
			}
			if draft.Rows, err = parseRows(rows); err != nil {
				return errUsage{err}
			}
			if draft.ValidUntil, err = parseUntil(until); err != nil {
				return errUsage{err}
			}
			if by == "" {
				if account, err := user.Current(); err == nil {
					draft.CreatedBy = account.Username
				}
			}
			return withHub(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				var issued feed.Issued
				if err := door.Do(ctx, "POST", "/feeds", draft, &issued); err != nil {
					return err
				}
				return c.printIssued(&issued)
			})
		},
	}
	configFlag(cmd, &path)
	f := cmd.Flags()
	f.StringVar(&id, "id", "", "name of the subscription, 1-32 of a-z, 0-9, - (required)")
	f.StringVar(&consumer, "consumer", "", "name of the consuming system (required)")
	f.StringVar(&member, "member", "", "electronic identifier of the organisation that answers for it (required)")
	f.StringVar(&dataset, "dataset", "", "database.dataset (required)")
	f.StringSliceVar(&fields, "fields", nil, "the fields that it may have, one by one (required)")
	f.StringVar(&rows, "rows", "", "which records: field=a,b (one of), field^31 (begins with), field@96 (communes of a province); default: all")
	f.StringSliceVar(&deliveries, "deliver", nil, "pull, events, nats, webhook, file; default: pull,events,file, and webhook with --webhook")
	f.StringVar(&webhook, "webhook", "", "https address that changes are posted to")
	f.StringVar(&until, "until", "", "last day of validity, 2027-12-31; default: until it is removed")
	f.StringVar(&by, "by", "", "who makes it; default: the account of this machine")
	for _, name := range []string{"id", "consumer", "member", "dataset", "fields"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was defined above
		}
	}
	return cmd
}

// parseRows reads field=a,b or field^prefix or field@province.
func parseRows(text string) (*feed.Rows, error) {
	if text == "" {
		return nil, nil
	}
	at := strings.IndexAny(text, "=^@")
	if at <= 0 || at == len(text)-1 {
		return nil, &lienthong.Error{
			Code: "feed.rows", Where: text, Vi: "bộ lọc dòng không đúng dạng", En: "not a row filter",
			Hint: "commune=31825,31828 | commune^318 | commune@96",
		}
	}
	rows := &feed.Rows{Field: text[:at]}
	switch value := text[at+1:]; text[at] {
	case '=':
		rows.In = strings.Split(value, ",")
	case '^':
		rows.Prefix = value
	default:
		rows.Province = value
	}
	return rows, nil
}

// vietnam is the zone of the dates that people write here.
func vietnam() *time.Location { return time.FixedZone("+07", 7*3600) }

// parseUntil reads the last day of validity: it is valid to that day's end.
func parseUntil(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	day, err := time.ParseInLocation(time.DateOnly, text, vietnam())
	if err != nil {
		return time.Time{}, &lienthong.Error{Code: "feed.valid_until", Where: text, Vi: "ngày không đúng dạng", En: "not a date", Hint: "2027-12-31"}
	}
	return day.AddDate(0, 0, 1), nil
}

func (c *command) printIssued(issued *feed.Issued) error {
	if c.json {
		return c.printJSON(issued)
	}
	c.printf("subscription %s\nkey %s\n", issued.Subscription.ID, issued.Key)
	if issued.WebhookSecret != "" {
		c.printf("webhook secret %s\n", issued.WebhookSecret)
	}
	c.printf("(chỉ hiện một lần / shown this once)\n")
	return nil
}

func (c *command) feedList() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "list", Short: "liệt kê đăng ký / list subscriptions", Example: "  lienthong feed list --config hub.yaml", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withHub(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				var all []feed.Subscription
				if err := door.Do(ctx, "GET", "/feeds", nil, &all); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(all)
				}
				w := tabwriter.NewWriter(c.stdout, 2, 4, 2, ' ', 0)
				for i := range all {
					s := &all[i]
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.ID, s.Consumer.Member, s.Consumer.Name, s.Dataset, strings.Join(s.Fields, ",")) //nolint:errcheck // flushed below
				}
				return w.Flush()
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (c *command) feedShow() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "show id", Short: "đăng ký đang ở đâu / where a subscription stands", Example: "  lienthong feed show bhxh-dan-cu --config hub.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHub(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				var s feed.Status
				if err := door.Do(ctx, "GET", "/feeds/"+args[0], nil, &s); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(s)
				}
				deliveries := make([]string, len(s.Deliveries))
				for i, d := range s.Deliveries {
					deliveries[i] = string(d)
				}
				c.printf("subscription %s: %s (%s)\ndataset %s: %s\ndeliveries %s\nhead %d, kept from %d\n", s.ID, s.Consumer.Name, s.Consumer.Member,
					s.Dataset, strings.Join(s.Fields, ", "), strings.Join(deliveries, ", "), s.Head, s.Floor)
				if s.Delivered != nil {
					c.printf("webhook has %d\n", *s.Delivered)
				}
				if s.Failing != nil {
					c.printf("webhook fails since %s: %s\n", s.Failing.Format(time.RFC3339), s.LastError)
				}
				if s.Suspended != nil {
					c.printf("webhook suspended %s (lienthong feed resume %s)\n", s.Suspended.Format(time.RFC3339), s.ID)
				}
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// feedOne is a command about one subscription that prints one line.
func (c *command) feedOne(use, short, method, suffix, done string) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: use + " id", Short: short, Example: "  lienthong feed " + use + " bhxh-dan-cu --config hub.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHub(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				if err := door.Do(ctx, method, "/feeds/"+args[0]+suffix, nil, nil); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(map[string]string{"subscription": args[0], "event": use})
				}
				c.printf("subscription %s %s\n", args[0], done)
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (c *command) feedRemove() *cobra.Command {
	return c.feedOne("remove", "thu hồi đăng ký / end a subscription", "DELETE", "", "removed")
}

func (c *command) feedResume() *cobra.Command {
	return c.feedOne("resume", "cho webhook đã tạm dừng thử lại / let a suspended webhook try again", "POST", "/resume", "resumed")
}

func (c *command) feedKey() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "key id", Short: "thay khoá, khoá cũ hết hiệu lực ngay / replace the key, the old one ends at once",
		Example: "  lienthong feed key bhxh-dan-cu --config hub.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHub(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				var issued feed.Issued
				if err := door.Do(ctx, "POST", "/feeds/"+args[0]+"/key", nil, &issued); err != nil {
					return err
				}
				return c.printIssued(&issued)
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}
