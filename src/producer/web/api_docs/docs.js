// Starts Swagger UI without its standalone preset: the logo of the preset needs inline styles, which our policy forbids.
"use strict";

SwaggerUIBundle({
  // Relative to the page, so that it works behind a gateway.
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // The browser does not store the key that a user enters.
  persistAuthorization: false,
  // No external validator: it would receive the document.
  validatorUrl: null,
});
