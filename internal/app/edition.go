package app

import (
	"os"
	"path/filepath"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// nodeDictionary is the edition that a node checks by: the one in the program, with the elements
// of a configured file in place of its own. An edition that a hub has published reaches the
// checks at the sources in this way; nobody changes from afar what an owner's node does.
func nodeDictionary(config *NodeConfig) (*dictionary.Dictionary, error) {
	words, err := dictionary.Builtin()
	if err != nil || config == nil || config.Dictionary == "" {
		return words, err
	}
	path := config.Dictionary
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(config.path), path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &lienthong.Error{
			Code: "config.dictionary", Where: path, Err: err, Vi: "không đọc được tệp từ điển", En: "the file of the dictionary cannot be read",
			Hint: "tải từ trung tâm: /public/dictionary.yaml / fetch it from the hub: /public/dictionary.yaml",
		}
	}
	elements, err := dictionary.ParseElements(config.Dictionary, data)
	if err != nil {
		return nil, err
	}
	changes := make([]dictionary.ElementChange, len(elements))
	for i := range elements {
		changes[i].Element = &elements[i]
	}
	next, _, err := words.With(changes...)
	return next, err
}
