// Starts Swagger UI. Without its standalone preset, whose logo needs inline styles, which our policy forbids.
"use strict";

SwaggerUIBundle({
  // Beside the page, wherever a gateway puts both.
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // A key that is typed in is gone with the page.
  persistAuthorization: false,
  // Nothing is sent to anyone else.
  validatorUrl: null,
});
