package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

const staticTextURI = "test://static-text"

// The resource template, whose {id} is what lies between these.
const templatePrefix, templateSuffix = "test://template/", "/data"

func (e *everything) addResources() {
	e.mcp.AddResource(mcp.NewResource(staticTextURI, "static-text",
		mcp.WithResourceDescription("Text that never changes"), mcp.WithMIMEType("text/plain")),
		contents(mcp.TextResourceContents{URI: staticTextURI, MIMEType: "text/plain", Text: "This is the content of the static text resource."}))
	e.mcp.AddResource(mcp.NewResource("test://static-binary", "static-binary",
		mcp.WithResourceDescription("An image that never changes"), mcp.WithMIMEType("image/png")),
		contents(mcp.BlobResourceContents{URI: "test://static-binary", MIMEType: "image/png", Blob: pngBase64}))
	e.addWatchedResource()
	e.mcp.AddResourceTemplate(mcp.NewResourceTemplate(templatePrefix+"{id}"+templateSuffix, "template",
		mcp.WithTemplateDescription("JSON about an id"), mcp.WithTemplateMIMEType("application/json")), templateData)
}

func (e *everything) addWatchedResource() {
	e.mcp.AddResource(mcp.NewResource("test://watched-resource", "watched-resource",
		mcp.WithResourceDescription("Text to subscribe to; the tool resource_update announces a change of it"), mcp.WithMIMEType("text/plain")),
		contents(mcp.TextResourceContents{URI: "test://watched-resource", MIMEType: "text/plain", Text: "Watched resource content"}))
}

// contents is the handler of a resource that always reads the same.
func contents(c mcp.ResourceContents) mcpserver.ResourceHandlerFunc {
	return func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{c}, nil
	}
}

func templateData(_ context.Context, request mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	uri := request.Params.URI
	id := strings.TrimSuffix(strings.TrimPrefix(uri, templatePrefix), templateSuffix)
	data, err := json.Marshal(struct {
		ID           string `json:"id"`
		TemplateTest bool   `json:"templateTest"`
		Data         string `json:"data"`
	}{id, true, "Data for ID: " + id})
	if err != nil {
		return nil, err
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: "application/json", Text: string(data)}}, nil
}
