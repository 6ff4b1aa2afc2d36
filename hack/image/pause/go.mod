// The pause container of the bare node.
module manta.test/image/pause

go 1.26.0
