// Package project finds out which project a working directory belongs to.
//
// A [Finder] looks for a checkout's configuration file on this machine's disk,
// from a directory upwards. A [Resolver] decides, from that configuration and
// what else is known, on which project a session works. [ActiveProject] asks
// another MCP server for the project that is active there.
//
// The configuration is a small JSON file, UTF-8 with or without a byte order
// mark, at most 1 MB (1,048,576 bytes):
//
//	{
//	  "version": "1.0",            // required; "major.minor", major 1
//	  "project": {
//	    "name": "my-app",          // required; 1 to 255 characters, none of them control characters
//	    "id": "3f2b8c1e-..."       // a UUID; without one the name identifies the project
//	  },
//	  "auto_switch": true,         // default true; false: this file alone never decides the project
//	  "strict_mode": false,        // default false; true: any other project than this file's is an error
//	  "dry_run": false,            // default false; true: say what would happen, record nothing
//	  "description": "...",        // at most 1000 characters
//	  "created_at": "2026-01-02T15:04:05Z",
//	  "updated_at": "2026-01-02T15:04:05Z"
//	}
//
// (The comments are not part of it.) Names are case-sensitive, unknown ones are
// ignored, of a repeated one the last counts, and null is the same as absent.
package project
