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

// paperNarrow makes room on a telephone: effort and task stand below the sheet once more.
const paperNarrow = `@media (max-width:40rem){
.paper.paper .assessment{padding:.875rem}
.paper.paper .assessment .advice :is(th,td):is(:nth-child(3),:nth-child(5)){display:none}
}
`

// sheetStyle is the style of the one-page assessment inside a page of the console.
func sheetStyle() []byte {
	return []byte(paperReset + strings.ReplaceAll(assessment.StyleSheet(), ".assessment", ".paper.paper .assessment") + paperNarrow)
}
