package app

import (
	"context"

	"github.com/lienthong/lienthong/internal/stewardship"
)

// PersonLink is a person of the demo with a one-time sign-in link.
type PersonLink struct {
	Account Account
	Link    string
}

// demoPeople work in the demo, so that a visitor can be each of them in turn: nobody approves
// what they wrote themselves.
func demoPeople() []Account {
	return []Account{
		{Name: "lan.steward", Title: "Nguyễn Thị Lan", Member: "G01", Roles: []stewardship.Role{stewardship.Steward}},
		{Name: "minh.owner", Title: "Trần Văn Minh", Member: "G01", Roles: []stewardship.Role{stewardship.Owner, stewardship.Engineer}},
		{Name: "hanh.reviewer", Title: "Lê Thị Hạnh", Member: "G06", Roles: []stewardship.Role{stewardship.Reviewer}},
		{Name: "quang.approver", Title: "Phạm Quang", Member: "G22", Roles: []stewardship.Role{stewardship.Approver}},
		{Name: "thu.steward", Title: "Vũ Thị Thu", Member: "G12", Roles: []stewardship.Role{stewardship.Steward, stewardship.Owner}},
	}
}

func (d *Demo) invitePeople(ctx context.Context) error {
	var links []PersonLink
	for _, account := range demoPeople() {
		if err := d.Hub.SaveAccount(ctx, account); err != nil {
			return err
		}
		if d.config.People == nil {
			continue
		}
		link, err := d.Hub.SignInURLFor(ctx, account.Name)
		if err != nil {
			return err
		}
		links = append(links, PersonLink{account, link})
	}
	if d.config.People != nil {
		d.config.People(links)
	}
	return nil
}
