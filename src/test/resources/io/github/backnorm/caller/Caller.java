package caller;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Layer;
import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.Parameter;
import io.github.backnorm.Precision;
import io.github.backnorm.PyTorch;
import io.github.backnorm.ReLU;
import io.github.backnorm.Safetensors;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;
import java.util.random.RandomGenerator;

/** Calls every member of the API as a user can, with the types that the contract gives. */
final class Caller {
    private Caller() {}

    static void matrix() {
        Matrix a = Matrix.of(1, 2, 3.0, 4.0);
        Matrix b = Matrix.ofRows(new double[] {1, 2}, new double[] {3, 4});
        Matrix row = Matrix.ofRow(1, 2);
        Matrix.EntryFunction entries = (int i, int j) -> i + j;
        double entry = entries.at(0, 1);
        Matrix c = Matrix.zeros(2, 2).plus(Matrix.filled(2, 2, entry)).plus(Matrix.generate(2, 2, entries));
        int size = a.rows() * a.columns();
        double[] array = a.toArray();
        array[0] = a.get(0, 0);
        Matrix rows = b.row(0).plusRow(b.selectRows(1)).plusRow(row);
        Matrix product = b.times(c).times(2.0).transpose();
        Matrix sum = product.plus(b).minus(b).hadamard(b).plusScaled(-0.1, b);
        double total = sum.columnSums().columnMeans().rowSums().sum();
        int[] predicted = sum.argMaxOfRows();
        DoubleUnaryOperator f = Math::abs;
        DoubleBinaryOperator g = Math::max;
        Matrix mapped = sum.map(f).combine(sum, g);
        boolean same = mapped.equals(sum) && mapped.hashCode() == sum.hashCode();
        String text = mapped + " " + same + size + total + predicted[0] + rows;
        text.length();
    }

    static void layers() {
        RandomGenerator random = new Random(1);
        Affine affine = new Affine(2, 3, random);
        Affine given = new Affine(Matrix.zeros(3, 1), Matrix.zeros(1, 1));
        Affine last = Affine.outputLayer(3, 1, random).withoutBias().withPrecision(Precision.SINGLE);
        Parameter weight = affine.weight();
        Parameter bias = last.hasBias() ? last.bias() : affine.bias();
        int shape = affine.inputs() + affine.outputs();
        BatchNorm defaults = new BatchNorm(3);
        BatchNorm batchNorm = new BatchNorm(3, 1e-5, 0.1);
        Parameter gamma = batchNorm.gamma();
        Parameter beta = batchNorm.beta();
        double constants = batchNorm.features() + batchNorm.epsilon() + batchNorm.momentum();
        batchNorm.setRunningStatistics(batchNorm.runningMean(), batchNorm.runningVariance());
        Network network = new Network(affine, batchNorm, new ReLU(), given, new Own());
        Network folded = network.folded().withPrecision(last.precision());
        List<Layer> layers = folded.layers();
        Layer layer = network;
        Matrix y = layer.forward(Matrix.zeros(4, 2));
        Matrix dx = layer.backward(y);
        layer.backwardParameters(y);
        Matrix served = layer.infer(dx);
        List<Parameter> parameters = layer.parameters();
        Map<String, Matrix> state = layer.state();
        layer.restore(state);
        for (Parameter parameter : parameters) {
            parameter.setGradient(parameter.gradient());
            parameter.setValue(parameter.value());
        }
        Parameter own = new Parameter("own", served);
        String text = own.name() + weight + bias + gamma + beta + shape + constants + layers + defaults;
        text.length();
    }

    static void training() {
        Matrix scores = Matrix.zeros(2, 3);
        Loss loss = Loss.softmaxCrossEntropy(scores, 0, 2);
        Loss ofTargets = Loss.softmaxCrossEntropy(scores, Matrix.filled(2, 3, 0.5));
        Loss squared = Loss.meanSquaredError(scores, scores);
        double value = loss.value();
        Matrix gradient = loss.gradient();
        Parameter parameter = new Parameter("own", scores);
        parameter.setGradient(gradient);
        Optimizer optimizer = Optimizer.sgd(0.1).withWeightDecay(0.01);
        double norm = Parameter.clipGradients(List.of(parameter), 1);
        optimizer.step(List.of(parameter));
        Network network = new Network();
        Map<String, Matrix> memory = optimizer.state(network);
        optimizer.restore(network, memory);
        optimizer.setRate(optimizer.rate() / 2);
        Optimizer momentum = Optimizer.sgd(0.1, 0.9);
        Optimizer adam = Optimizer.adam(0.001);
        Optimizer withConstants = Optimizer.adam(0.001, 0.9, 0.999, 1e-8);
        String text = "" + loss + ofTargets + squared + value + norm + optimizer + momentum + adam + withConstants;
        text.length();
    }

    static void files(Path file) throws IOException {
        Network network = new Network();
        Safetensors content = Safetensors.of(network.state()).withMetadata("key", "value").asFloat32();
        content.writeTo(file);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        content.writeTo(out);
        InputStream in = new ByteArrayInputStream(out.toByteArray());
        content = Safetensors.read(in).and(Safetensors.read(in, name -> name.isEmpty()));
        content = Safetensors.ofTensors(Safetensors.read(file, Set.of("a")::contains).tensors());
        Network read = network;
        try {
            Map<String, Safetensors.Tensor> tensors = Safetensors.read(file).tensors();
            for (Safetensors.Tensor tensor : tensors.values()) {
                String dtype = tensor.dtype();
                List<Integer> shape = tensor.shape();
                Matrix matrix = tensor.matrix();
                String text = tensor + dtype + shape + matrix + tensor.equals(tensor) + tensor.hashCode();
                text.length();
            }
            Safetensors stateDict = PyTorch.stateDict(network);
            read = PyTorch.network(stateDict);
            read = PyTorch.network(stateDict, "ReLU()");
        } catch (Safetensors.FormatException refused) {
            IOException io = refused;
            io.getMessage().length();
        }
        Map<String, Matrix> state = content.state();
        Map<String, String> metadata = content.metadata();
        String text = content + " " + content.equals(content) + content.hashCode() + read + state + metadata;
        text.length();
    }

    static final class Own implements Layer {
        @Override
        public Matrix forward(Matrix x) {
            return x;
        }

        @Override
        public Matrix backward(Matrix dy) {
            return dy;
        }

        @Override
        public Matrix infer(Matrix x) {
            return x;
        }
    }
}
