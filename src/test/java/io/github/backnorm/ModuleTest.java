package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.io.StringWriter;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The library as its users' builds see it. */
final class ModuleTest {
    private static final Path CLASSES = Path.of("target/classes");

    @TempDir
    private Path folder;

    @Test
    void execution_named_hasVectorModuleAsItsNameSays() {
        String execution = System.getProperty("backnorm.test.execution");
        assertThat(execution).isIn("plain", "vector");
        assertThat(ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent())
                .isEqualTo(execution.equals("vector"));
    }

    @Test
    void descriptor_ofLibrary_exportsOnePackageAndRequiresNothing() {
        ModuleDescriptor descriptor = ModuleFinder.of(CLASSES)
                .find("io.github.backnorm")
                .orElseThrow()
                .descriptor();
        assertThat(descriptor.exports()).map(ModuleDescriptor.Exports::source).containsExactly("io.github.backnorm");
        assertThat(descriptor.requires()).map(ModuleDescriptor.Requires::name).containsExactly("java.base");
    }

    @Test
    void caller_onClassPath_compilesWithoutWarning() throws IOException {
        assertThat(compile(List.of("-classpath", CLASSES.toString()), "Caller.java"))
                .isEmpty();
    }

    @Test
    void caller_onModulePath_compilesWithoutWarning() throws IOException {
        assertThat(compile(List.of("--module-path", CLASSES.toString()), "module-info.java", "Caller.java"))
                .isEmpty();
    }

    /** The compiler's output, all of its warnings being errors. */
    private String compile(List<String> path, String... sources) throws IOException {
        for (String source : sources) {
            try (InputStream in = ModuleTest.class.getResourceAsStream("caller/" + source)) {
                Files.copy(in, folder.resolve(source));
            }
        }
        List<String> options = Stream.concat(
                        Stream.of("-Xlint:all", "-Werror", "--release", "17", "-d", folder.toString()), path.stream())
                .toList();
        StringWriter output = new StringWriter();
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        try (StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null)) {
            boolean compiled = compiler.getTask(
                            output,
                            files,
                            null,
                            options,
                            null,
                            files.getJavaFileObjects(
                                    Stream.of(sources).map(folder::resolve).toArray(Path[]::new)))
                    .call();
            assertThat(compiled).as("%s", output).isTrue();
        }
        return output.toString();
    }
}
