package io.github.backnorm.benchmarks;

import ai.djl.ndarray.NDArray;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Parameter;
import io.github.backnorm.Precision;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * The gradients of a training step: forward, the gradient of the softmax's mean cross-entropy, backward to the
 * parameters. The update of the parameters is the optimizer's, and not counted.
 */
@State(Scope.Benchmark)
public class Steps {
    @Param({"batch 32 of 64-100-100-10", "batch 256 of 512-512-512-10", "batch 1024 of 784-1024-1024-10"})
    public String row;

    @Param({"DOUBLE", "SINGLE"})
    public Precision precision;

    private Network network;
    private Matrix x;
    private Matrix target; // one-hot

    @Setup
    public void setUp() {
        Inputs inputs = new Inputs();
        String[] words = row.split(" ", -1);
        int rows = Integer.parseInt(words[1]);
        int[] widths = Inputs.numbers(words[3]);
        int classes = widths[widths.length - 1];
        network = inputs.network(widths).withPrecision(precision);
        x = inputs.matrix(rows, widths[0]);
        target = Matrix.generate(rows, classes, (row, column) -> row % classes == column ? 1 : 0);
    }

    @Benchmark
    public Matrix backnorm() {
        Matrix y = network.forward(x);
        network.backwardParameters(softmaxGradient(y));
        return y;
    }

    /** The gradient of the mean cross-entropy with respect to the scores y. */
    private Matrix softmaxGradient(Matrix y) {
        int columns = y.columns();
        double[] dy = y.toArray();
        for (int row = 0; row < dy.length; row += columns) {
            double largest = Double.NEGATIVE_INFINITY;
            for (int j = row; j < row + columns; j++) {
                largest = Math.max(largest, dy[j]);
            }
            double sum = 0;
            for (int j = row; j < row + columns; j++) {
                dy[j] = Math.exp(dy[j] - largest);
                sum += dy[j];
            }
            for (int j = row; j < row + columns; j++) {
                dy[j] = (dy[j] / sum - target.get(row / columns, j - row)) / y.rows();
            }
        }
        return Matrix.of(y.rows(), columns, dy);
    }

    @State(Scope.Benchmark)
    public static class Torch {
        @Param({"float64", "float32"})
        public String type;

        private PyTorch torch;
        private PyTorch.Model model;
        private NDArray x;
        private NDArray target;

        @Setup
        public void setUp(Steps steps) {
            torch = new PyTorch(type);
            model = torch.model(steps.network);
            x = torch.tensor(steps.x);
            target = torch.tensor(steps.target);
            try (PyTorch.Pass pass = step()) {
                Matrix y = steps.backnorm();
                Agreement.requireOutput(steps.network, PyTorch.matrix(pass.y()), y, torch.u());
                Agreement.requireGradients(
                        steps.network,
                        y.rows(),
                        pass.gradients(),
                        steps.network.parameters().stream()
                                .map(Parameter::gradient)
                                .toList(),
                        torch.u());
            }
        }

        private PyTorch.Pass step() {
            PyTorch.Pass pass = model.forward(x, false);
            pass.backward(pass.softmaxGradient(target));
            return pass;
        }

        @TearDown
        public void tearDown() {
            torch.close();
        }
    }

    @Benchmark
    public void pyTorch(Torch torch) {
        torch.step().close();
    }
}
