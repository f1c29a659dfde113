package io.github.backnorm;

import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;

/**
 * A step of a {@link Network}: one layer, or a batch norm and the ReLU after it, which run as one. The steps, and the
 * arrays that they write to, are chosen when the network is made.
 *
 * <p>Nobody else sees what passes between two {@link ArrayLayer}s of a network. So its array is used again for the next
 * batch. Every other result is a new array.
 */
abstract class Step {
    /** The index of the first layer in its network. */
    final int index;

    final List<Layer> layers;

    /** Whether the layers are array layers, which return the right shapes and run no other layer. */
    final boolean isOfArrays;

    private Step(int index, Layer... layers) {
        this.index = index;
        this.layers = List.of(layers);
        this.isOfArrays = this.layers.stream().allMatch(ArrayLayer.class::isInstance);
    }

    abstract Matrix forward(Matrix x);

    abstract Matrix infer(Matrix x);

    final Matrix backward(Matrix dy) {
        return backwardFirst(dyOfFirst(dy));
    }

    final void backwardParameters(Matrix dy) {
        backwardParametersOfFirst(dyOfFirst(dy));
    }

    /** The dy of the first layer: what the layers after it make of the step's. */
    Matrix dyOfFirst(Matrix dy) {
        return dy;
    }

    /** {@code backward} of the first layer. */
    abstract Matrix backwardFirst(Matrix dy);

    /** {@code backwardParameters} of the first layer. */
    abstract void backwardParametersOfFirst(Matrix dy);

    /** The steps of these layers, from the first to the last. */
    static List<Step> of(List<Layer> layers) {
        List<IntFunction<double[]>> forY = arraysBetween(layers);
        List<IntFunction<double[]>> forDx = arraysBetween(layers);
        List<Step> steps = new ArrayList<>();
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            if (layer instanceof BatchNorm norm && i + 1 < layers.size() && layers.get(i + 1) instanceof ReLU relu) {
                int end = i + 2;
                steps.add(new OfBatchNormAndReLU(i, norm, relu, forY.get(end), forDx.get(end), forDx.get(i)));
                i++;
            } else if (layer instanceof ArrayLayer<?> arrayLayer) {
                steps.add(new OfArrayLayer(i, arrayLayer, forY.get(i + 1), forDx.get(i)));
            } else {
                steps.add(new OfLayer(i, layer));
            }
        }
        return List.copyOf(steps);
    }

    /** Where arrays come from: entry i for what passes between the layers i − 1 and i. */
    private static List<IntFunction<double[]>> arraysBetween(List<Layer> layers) {
        List<IntFunction<double[]>> arrays = new ArrayList<>();
        for (int i = 0; i <= layers.size(); i++) {
            boolean between = i > 0
                    && i < layers.size()
                    && layers.get(i - 1) instanceof ArrayLayer
                    && layers.get(i) instanceof ArrayLayer;
            arrays.add(between ? new Reused() : double[]::new);
        }
        return arrays;
    }

    /** Gives the same array again, as long as the length is the same. */
    private static final class Reused implements IntFunction<double[]> {
        private static final double[] NONE = {};

        private double[] array = NONE;

        @Override
        public double[] apply(int length) {
            if (array.length != length) {
                array = NONE; // frees the old one before the new one is allocated
                array = new double[length];
            }
            return array;
        }
    }

    /** Any layer: a user's, or a network. */
    private static class OfLayer extends Step {
        private final Layer layer;

        OfLayer(int index, Layer layer) {
            super(index, layer);
            this.layer = layer;
        }

        @Override
        Matrix forward(Matrix x) {
            return layer.forward(x);
        }

        @Override
        Matrix infer(Matrix x) {
            return layer.infer(x);
        }

        @Override
        Matrix backwardFirst(Matrix dy) {
            return layer.backward(dy);
        }

        @Override
        void backwardParametersOfFirst(Matrix dy) {
            layer.backwardParameters(dy);
        }
    }

    /** An array layer, with the arrays of its results. */
    private static final class OfArrayLayer extends OfLayer {
        private final ArrayLayer<?> layer;
        private final IntFunction<double[]> forY;
        private final IntFunction<double[]> forDx;

        OfArrayLayer(int index, ArrayLayer<?> layer, IntFunction<double[]> forY, IntFunction<double[]> forDx) {
            super(index, layer);
            this.layer = layer;
            this.forY = forY;
            this.forDx = forDx;
        }

        @Override
        Matrix forward(Matrix x) {
            return layer.forward(x, forY);
        }

        @Override
        Matrix backwardFirst(Matrix dy) {
            return layer.backward(dy, forDx);
        }
    }

    /**
     * A batch norm and the ReLU after it. y is the ReLU's; that of the batch norm is never stored.
     *
     * <p>The step behind asks {@code forMasked} for the array of its dx, which is dy here. The ReLU asks it too, and so
     * masks dy in place. At the end of the network, or in front of a user's layer or a network, the array is new.
     */
    private static final class OfBatchNormAndReLU extends Step {
        private final BatchNorm norm;
        private final ReLU relu;
        private final IntFunction<double[]> forY;
        private final IntFunction<double[]> forMasked;
        private final IntFunction<double[]> forDx;

        OfBatchNormAndReLU(
                int index,
                BatchNorm norm,
                ReLU relu,
                IntFunction<double[]> forY,
                IntFunction<double[]> forMasked,
                IntFunction<double[]> forDx) {
            super(index, norm, relu);
            this.norm = norm;
            this.relu = relu;
            this.forY = forY;
            this.forMasked = forMasked;
            this.forDx = forDx;
        }

        @Override
        Matrix forward(Matrix x) {
            Matrix y = norm.forwardWithRelu(x, forY);
            relu.remember(new ReLU.Pass(y));
            return y;
        }

        @Override
        Matrix infer(Matrix x) {
            return norm.inferWithRelu(x);
        }

        @Override
        Matrix dyOfFirst(Matrix dy) {
            return relu.backward(dy, forMasked);
        }

        @Override
        Matrix backwardFirst(Matrix dy) {
            return norm.backward(dy, forDx);
        }

        @Override
        void backwardParametersOfFirst(Matrix dy) {
            norm.backwardParameters(dy);
        }
    }
}
