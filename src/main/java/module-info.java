/** Batch-norm back-propagation: networks of affine, batch-norm and ReLU layers, trained and served in plain Java. */
module io.github.backnorm {
    exports io.github.backnorm;
}
