package console

import (
	"strings"

	"github.com/lienthong/lienthong/internal/assessment"
)

// paperReset takes the console's own style off the sheet, which brings one of its own: it has to look
// as it does on paper.
const paperReset = `.paper .assessment :not(svg,svg *){all:revert}
.paper .assessment .bar{height:5px;border-radius:0;background:none;overflow:visible}
.paper .assessment .spark{width:auto;height:auto}
`

// sheetStyle is the style of the one-page assessment inside a page of the console.
func sheetStyle() []byte {
	return []byte(paperReset + strings.ReplaceAll(assessment.StyleSheet(), ".assessment", ".paper.paper .assessment"))
}
