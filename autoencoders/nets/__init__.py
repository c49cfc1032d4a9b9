"""Encoders and decoders for any image shape.

Each module of this package, such as `mlp`, defines an encoder and a decoder class. A YAML file in `conf/net/` selects
the two classes.

    Encoder(shape, context_size=0)            .features: F       forward(x, context) -> (B, F)
    Decoder(inputs, shape, context_size=0)                       forward(z, context) -> (B, C, H, W)

A context is a vector that encodes the class or the attributes of an image. `context_size` is its size K if all layers
of the net receive the context (`model.join=every_layer`). Otherwise `context_size` is 0 and `context` is None. Decoders
return raw values. The likelihood applies the output activation.

A net can also define these attributes. Their defaults are in `autoencoders.nets.base.Net`.

    .code: Z                   The first Z features of the encoder are a code. They become the posterior mean, and Z
                               becomes the `latent_dim` of the model.
    .linear(inputs, outputs)   Returns a new layer that maps features to the posterior parameters. Default: nn.Linear.
    .initialize(images)        Called once at the start of training with the stored training images (N, C, H, W), before
                               processes synchronize their weights. Not called if a run is resumed.
"""
