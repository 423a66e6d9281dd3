package main
import (_ "github.com/cockroachdb/pebble/v2"; _ "github.com/hashicorp/memberlist"; _ "github.com/danielgtaylor/huma/v2/adapters/humachi"; _ "github.com/spf13/cobra"; _ "github.com/swaggest/swgui/v5emb"; _ "github.com/anishathalye/porcupine")
func main(){}
