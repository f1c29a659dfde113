package io.github.backnorm.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The second jar. */
final class JarTest {
    private static final String PACKAGE = "io/github/backnorm/spark/";

    @Test
    void jar_classes_areThoseOfTheSparkSources() throws IOException {
        Set<String> sources;
        try (Stream<Path> files = Files.list(Path.of("src/spark/java", PACKAGE))) {
            sources = files.map(file -> file.getFileName().toString())
                    .map(name -> name.replace(".java", ""))
                    .collect(Collectors.toSet());
        }
        try (JarFile jar = new JarFile(TestSessions.SPARK.toFile())) {
            assertThat(jar.stream().map(JarEntry::getName).filter(name -> !name.endsWith("/")))
                    .allSatisfy(name -> assertThat(name).matches("META-INF/.*|" + PACKAGE + "[^/]*\\.class"))
                    .filteredOn(name -> name.endsWith(".class"))
                    .extracting(name -> name.replaceFirst("^" + PACKAGE, "").replaceFirst("(\\$.*)?\\.class$", ""))
                    .containsOnly(sources.toArray(String[]::new));
        }
    }
}
