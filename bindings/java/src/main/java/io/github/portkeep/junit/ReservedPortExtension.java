package io.github.portkeep.junit;

import io.github.portkeep.Portkeep;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolutionException;
import org.junit.jupiter.api.extension.ParameterResolver;
import org.junit.jupiter.api.extension.TestInstancePostProcessor;

/** Gives reserved ports to what is annotated with {@link ReservedPort}. */
public final class ReservedPortExtension
        implements ParameterResolver, BeforeAllCallback, TestInstancePostProcessor {
    /** For JUnit. */
    public ReservedPortExtension() {}

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.isAnnotated(ReservedPort.class);
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        ReservedPort wanted = parameter.findAnnotation(ReservedPort.class).orElseThrow();
        return ports(parameter.getParameter().getType(), wanted);
    }

    @Override
    public void beforeAll(ExtensionContext context) throws IllegalAccessException {
        fill(context.getRequiredTestClass(), null);
    }

    @Override
    public void postProcessTestInstance(Object instance, ExtensionContext context)
            throws IllegalAccessException {
        fill(instance.getClass(), instance);
    }

    private static void fill(Class<?> type, Object instance) throws IllegalAccessException {
        for (Class<?> part = type; part != null; part = part.getSuperclass()) {
            for (Field field : part.getDeclaredFields()) {
                ReservedPort wanted = field.getAnnotation(ReservedPort.class);
                if (wanted == null || Modifier.isStatic(field.getModifiers()) != (instance == null)) {
                    continue;
                }
                field.setAccessible(true);
                field.set(instance, ports(field.getType(), wanted));
            }
        }
    }

    private static Object ports(Class<?> type, ReservedPort wanted) {
        try {
            if (type == int[].class) {
                return Portkeep.ports(wanted.count());
            }
            if (type == int.class || type == Integer.class) {
                return Portkeep.port();
            }
        } catch (IOException error) {
            throw new ParameterResolutionException("no port could be reserved: " + error.getMessage(), error);
        }
        throw new ParameterResolutionException("@ReservedPort is for int, Integer and int[], not " + type);
    }
}
