// Shows /openapi.json. Without its validator, which would send the description elsewhere.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#api", deepLinking: true, tryItOutEnabled: true, validatorUrl: null });
