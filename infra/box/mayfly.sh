#!/bin/sh
# The command `mayfly` of an installation in /opt/mayfly, with the Node that was installed beside it.
exec /opt/mayfly/node_modules/.bin/node /opt/mayfly/dist/cli/main.js "$@"
