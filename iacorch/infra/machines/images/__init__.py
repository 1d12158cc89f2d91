"""Images for machines and examples, built where no image registry can be reached.

`base` finds or makes the Debian base image; `build` builds a Dockerfile on it under a tag that is the hash of what went
in, so that nothing is built twice. `node/Dockerfile` is the machine of `stacks/local`.
"""
