package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// account is who works at a hub: stewards, owners, reviewers, approvers.
func (c *command) account() *cobra.Command {
	cmd := &cobra.Command{
		Use: "account", Short: "người làm việc tại trung tâm / people who work at a hub",
		Example: "  lienthong account add an.nguyen --member G01 --role steward --title \"Nguyễn Văn An\"", Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.accountAdd(), c.accountList(), c.accountLink(), c.accountRemove())
	return cmd
}

func (c *command) accountAdd() *cobra.Command {
	var path, member, title string
	var roles []string
	cmd := &cobra.Command{
		Use: "add NAME", Short: "thêm người hoặc đổi vai trò, và in liên kết đăng nhập / add a person or change the roles, and print a sign-in link",
		Example: "  lienthong account add an.nguyen --member G01 --role steward --title \"Nguyễn Văn An\" --config hub.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := app.LoadHubConfig(path)
			if err != nil {
				return errUsage{err}
			}
			account := app.Account{Name: args[0], Title: title, Member: lienthong.MemberCode(member)}
			for _, role := range roles {
				account.Roles = append(account.Roles, stewardship.Role(role))
			}
			link, err := app.AddAccount(cmd.Context(), config, account)
			if err != nil {
				return err
			}
			return c.printLink(args[0], link)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&member, "member", "", "electronic identifier of the organisation: G01")
	cmd.Flags().StringVar(&title, "title", "", "the person's name as people write it")
	cmd.Flags().StringSliceVar(&roles, "role", nil, "owner, steward, engineer, reviewer, approver, viewer; several with commas")
	for _, name := range []string{"member", "role"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was defined above
		}
	}
	return cmd
}

func (c *command) printLink(name, link string) error {
	if c.json {
		return c.printJSON(map[string]string{"account": name, "link": link})
	}
	c.printf("%s\n", link)
	return nil
}

func (c *command) accountList() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "list", Short: "liệt kê người và vai trò / list people and roles",
		Example: "  lienthong account list --config hub.yaml", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := app.LoadHubConfig(path)
			if err != nil {
				return errUsage{err}
			}
			accounts, err := app.ListAccounts(cmd.Context(), config)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(accounts)
			}
			for _, a := range accounts {
				roles := make([]string, len(a.Roles))
				for i, role := range a.Roles {
					roles[i] = string(role)
				}
				c.printf("%-24s %-6s %-30s %s\n", a.Name, a.Member, strings.Join(roles, ","), a.Title)
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (c *command) accountLink() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "link NAME", Short: "tạo liên kết đăng nhập dùng một lần / make a one-time sign-in link",
		Example: "  lienthong account link an.nguyen --config hub.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := app.LoadHubConfig(path)
			if err != nil {
				return errUsage{err}
			}
			link, err := app.AccountLink(cmd.Context(), config, args[0])
			if err != nil {
				return err
			}
			return c.printLink(args[0], link)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (c *command) accountRemove() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "chấm dứt tài khoản; lịch sử vẫn giữ tên / end an account; histories keep its name",
		Example: "  lienthong account remove an.nguyen --config hub.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := app.LoadHubConfig(path)
			if err != nil {
				return errUsage{err}
			}
			return app.RemoveAccount(cmd.Context(), config, args[0])
		},
	}
	configFlag(cmd, &path)
	return cmd
}
