package io.github.backnorm.spark;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Layer;
import io.github.backnorm.Network;
import io.github.backnorm.Precision;
import io.github.backnorm.PyTorch;
import io.github.backnorm.Safetensors;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A network as bytes, which travel to executors; an executor makes the network of them once for all its tasks. */
final class Model implements Serializable {
    private static final long serialVersionUID = 1;

    /** How many networks an executor keeps: few programs score with more at a time. */
    private static final int MOST = 8;

    private static final Map<String, Network> NETWORKS = new LinkedHashMap<>(MOST, 0.75f, true) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Network> eldest) {
            return size() > MOST;
        }
    };

    /** Metadata: the precisions of the affine layers, in order. */
    private static final String PRECISIONS = "precisions";

    private static final int ANY = -1;

    private final byte[] file;
    private final String digest;
    private final int inputs;

    /** Refuses a network with a layer that is not built in; the message begins with {@code where}. */
    Model(Network network, String where) {
        Objects.requireNonNull(network, where + ": network is null, expected a value");
        inputs = inputs(network);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try {
            String precisions =
                    affines(network).map(affine -> affine.precision().name()).collect(Collectors.joining(","));
            PyTorch.stateDict(network).withMetadata(PRECISIONS, precisions).writeTo(bytes);
            file = bytes.toByteArray();
            digest = HexFormat.of()
                    .formatHex(MessageDigest.getInstance("SHA-256").digest(file));
        } catch (IllegalArgumentException refusal) {
            throw new IllegalArgumentException(
                    where + ": the network cannot travel to executors: " + refusal.getMessage(), refusal);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every JDK has it
        }
    }

    private static Stream<Affine> affines(Network network) {
        return network.layers().stream()
                .flatMap(layer -> layer instanceof Network inside
                        ? affines(inside)
                        : layer instanceof Affine affine ? Stream.of(affine) : Stream.empty());
    }

    /** The number of columns of x, or {@link #ANY} if no layer knows it. */
    private static int inputs(Network network) {
        for (Layer layer : network.layers()) {
            int inputs = layer instanceof Affine affine
                    ? affine.inputs()
                    : layer instanceof BatchNorm norm
                            ? norm.features()
                            : layer instanceof Network inside ? inputs(inside) : ANY;
            if (inputs != ANY) {
                return inputs;
            }
        }
        return ANY;
    }

    /** The SHA-256 of the network's file, in hexadecimal digits. */
    String digest() {
        return digest;
    }

    /** The number of columns of x; 0 if no layer knows it. */
    int inputs() {
        return Math.max(inputs, 0);
    }

    /** Whether the network has so many inputs, as far as that is known. */
    boolean takes(int features) {
        return inputs == ANY || inputs == features;
    }

    /** What {@link #takes} expects, for a message. */
    String expected() {
        return inputs == ANY ? "at least 1" : inputs + " (the network's inputs)";
    }

    /** The same network for all models in this JVM with the same bytes. */
    Network network() {
        synchronized (NETWORKS) {
            return NETWORKS.computeIfAbsent(digest, key -> read());
        }
    }

    private Network read() {
        try {
            Safetensors read = Safetensors.read(new ByteArrayInputStream(file));
            Iterator<String> precisions =
                    List.of(read.metadata().get(PRECISIONS).split(",")).iterator();
            return new Network(PyTorch.network(read).layers().stream()
                    .map(layer -> layer instanceof Affine affine
                            ? affine.withPrecision(Precision.valueOf(precisions.next()))
                            : layer)
                    .toArray(Layer[]::new));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
