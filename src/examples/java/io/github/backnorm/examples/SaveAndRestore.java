package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.PyTorch;
import io.github.backnorm.ReLU;
import io.github.backnorm.Safetensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;

/**
 * Writes what a network has learned to a file, and gives it to another network of the same layers; then the same in
 * PyTorch's layout, of which the other network is made.
 */
public final class SaveAndRestore {
    static Network newNetwork(long seed) {
        Random random = new Random(seed);
        return new Network(new Affine(4, 8, random), new BatchNorm(8), new ReLU(), new Affine(8, 2, random));
    }

    public static void main(String[] args) throws IOException {
        Random random = new Random(7);
        Matrix x = Matrix.generate(32, 4, (row, column) -> random.nextDouble());
        Network trained = newNetwork(1);
        trained.forward(x); // moves the running statistics, so that they are worth saving
        Path file = Files.createTempFile("network", ".safetensors");

        Safetensors.of(trained.state()).writeTo(file);
        Network served = newNetwork(2);
        served.restore(Safetensors.read(file).state());

        PyTorch.stateDict(trained).writeTo(file);
        Network fromPyTorch = PyTorch.network(Safetensors.read(file));

        Files.delete(file);
        System.out.println("same results: " + served.infer(x).equals(trained.infer(x)) + ", "
                + fromPyTorch.infer(x).equals(trained.infer(x)));
    }
}
