"""Encoders and decoders for any image shape.

A net file defines two classes, and its yaml file in `conf/net/` names both:

    Encoder(shape, context_size=0)            .features: F       forward(x, context) -> (B, F)
    Decoder(inputs, shape, context_size=0)                       forward(z, context) -> (B, C, H, W)

`context_size` is the size of a context vector that is joined at every layer. It is 0, and `context` is None, unless
the model uses `join=every_layer`. Decoders return raw values; the likelihood applies the output activation.

Optional attributes, with defaults in `autoencoders.nets.base.Net`:

    .code: Z                   The first Z features of the encoder are a code. They become the posterior mean, and Z
                               becomes the model's latent_dim.
    .linear(inputs, outputs)   Builds the layer from the features to the posterior's parameters; default nn.Linear.
    .initialize(images)        Called once at the start of a fit with the uint8 training images, (N, C, H, W), before
                               processes synchronize. Not called on resume.
"""
