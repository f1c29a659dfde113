package io.github.backnorm;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Random;

/**
 * Trains a small network and writes it to a file in PyTorch's layout. The argument is the file, {@code
 * trained.safetensors} of the reference data. {@code safetensors_files.py} then loads it into PyTorch.
 */
final class TrainedNetwork {
    private TrainedNetwork() {}

    public static void main(String[] args) throws IOException {
        Random random = new Random(5);
        Network network = new Network(
                new Affine(4, 8, random), new BatchNorm(8, 1e-3, 0.2), new ReLU(), new Affine(8, 3, random));
        for (int step = 0; step < 20; step++) {
            Matrix x = Matrix.generate(16, 4, (row, column) -> 2 * random.nextDouble() - 1);
            Matrix target = Matrix.generate(16, 3, (row, column) -> x.get(row, column) * x.get(row, column + 1));
            network.backwardParameters(network.forward(x).minus(target).times(1.0 / 16));
            for (Parameter parameter : network.parameters()) {
                parameter.setValue(parameter.value().plusScaled(-0.1, parameter.gradient()));
            }
        }
        PyTorch.stateDict(network).writeTo(Path.of(args[0]));
    }
}
