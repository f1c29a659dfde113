package io.github.backnorm.spark;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import org.apache.spark.SparkConf;
import org.apache.spark.sql.SparkSession;

/** The programs' sessions, and what they say when Spark fails. */
final class Sessions {
    private static final String STANDALONE = "spark://";
    private static final int MOST_MILLIS = 5000; // to connect to a master

    private Sessions() {}

    /**
     * A session on the given master; if there is none, on the one that spark-submit says, else on all cores of this
     * machine.
     */
    static SparkSession open(String program, String master) {
        SparkConf conf = new SparkConf();
        conf.setIfMissing("spark.app.name", program);
        conf.setIfMissing("spark.master", "local[*]");
        if (master != null) {
            conf.setMaster(master);
        }
        if (conf.get("spark.master").startsWith("local")) {
            // Nobody but this machine has business with it.
            conf.setIfMissing("spark.driver.bindAddress", "127.0.0.1");
            conf.setIfMissing("spark.driver.host", "127.0.0.1");
            conf.setIfMissing("spark.ui.enabled", "false");
        }
        // HotSpot does not compile larger methods: they are 5 times as slow as Spark without its code of whole stages.
        conf.setIfMissing("spark.sql.codegen.hugeMethodLimit", "8000");
        requireReachable(conf.get("spark.master"));
        return SparkSession.builder().config(conf).getOrCreate();
    }

    /** Spark itself would try for a minute, and then say that a stopped context is called. */
    private static void requireReachable(String master) {
        if (!master.startsWith(STANDALONE)) {
            return;
        }
        for (String place : master.substring(STANDALONE.length()).split(",", -1)) {
            if (isReachable(URI.create(STANDALONE + place))) {
                return;
            }
        }
        throw new IllegalArgumentException("master " + master + " is not reachable, expected a running Spark master");
    }

    private static boolean isReachable(URI place) {
        if (place.getHost() == null || place.getPort() < 0) {
            return true; // Spark has better words for it.
        }
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(place.getHost(), place.getPort()), MOST_MILLIS);
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** The refusal that a failure was caused by, if there is one, else its first cause. */
    static String reason(Throwable failure) {
        Throwable cause = failure;
        while (!(cause instanceof IllegalArgumentException) && cause.getCause() != null) {
            cause = cause.getCause();
        }
        String message = cause.getMessage();
        return message == null || message.isBlank() ? cause.toString() : message;
    }
}
