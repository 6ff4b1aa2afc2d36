"""Pure builders: from a spec to the objects that should exist.

`facts.facts_of` reads a RayCluster once; everything else is built from those facts and the operator's options, as
plain JSON, without a client, a clock or chance.
"""
