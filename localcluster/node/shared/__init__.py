"""Pods where no namespace is allowed: plain processes of one machine, each pod on an address of 127/8.

    ground.py       SharedMachine: places, starts and ends pods here (implements ground.Ground)
    supervisor.py   the program around each container: nothing that the container started outlives it
    hook/           runs in every Python of a pod: its address, its names, its mounts
    tables.py       writes what the hook reads: names of services and pods, ports that had to move
    installing.py   how the hook gets into interpreters; standin.py: curl, wget and their like in a pod
    texts.py        pure: names, `localhost` and mount paths in command, environment and probes
    limits.py       pure: what a pod or a service asks for that there is not here, in sentences
    sweep.py        finds and ends what a killed run has left

docs/shared-host.md says to users what this level cannot do; spec ray-side §10.4 what was seen to work.
"""
