package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.ReLU;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;

/** Writes what a network has learned to a file, and gives it to another network of the same layers. */
public final class SaveAndRestore {
    static void save(Map<String, Matrix> state, Path file) throws IOException {
        try (DataOutputStream out = new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(file)))) {
            out.writeInt(state.size());
            for (Map.Entry<String, Matrix> entry : state.entrySet()) {
                out.writeUTF(entry.getKey());
                out.writeInt(entry.getValue().rows());
                out.writeInt(entry.getValue().columns());
                for (double value : entry.getValue().toArray()) {
                    out.writeDouble(value);
                }
            }
        }
    }

    static Map<String, Matrix> load(Path file) throws IOException {
        Map<String, Matrix> state = new HashMap<>();
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(Files.newInputStream(file)))) {
            for (int remaining = in.readInt(); remaining > 0; remaining--) {
                String name = in.readUTF();
                int rows = in.readInt();
                int columns = in.readInt();
                double[] values = new double[Math.multiplyExact(rows, columns)];
                for (int i = 0; i < values.length; i++) {
                    values[i] = in.readDouble();
                }
                state.put(name, Matrix.of(rows, columns, values));
            }
        }
        return state;
    }

    static Network newNetwork(long seed) {
        Random random = new Random(seed);
        return new Network(new Affine(4, 8, random), new BatchNorm(8), new ReLU(), new Affine(8, 2, random));
    }

    public static void main(String[] args) throws IOException {
        Random random = new Random(7);
        Matrix x = Matrix.generate(32, 4, (row, column) -> random.nextDouble());
        Network trained = newNetwork(1);
        trained.forward(x); // moves the running statistics, so that they are worth saving
        Path file = Files.createTempFile("network", ".bin");

        save(trained.state(), file);
        Network served = newNetwork(2);
        served.restore(load(file));

        Files.delete(file);
        System.out.println("same results: " + served.infer(x).equals(trained.infer(x)));
    }
}
